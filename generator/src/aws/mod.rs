//! The only module that uses the AWS SDK. Each file implements one of our traits on one AWS service
//! and only translates.

mod cloudwatch;
mod kinesis;
mod session;
mod ssm;

pub use cloudwatch::CloudWatchMetrics;
pub use kinesis::KinesisSender;
pub use session::Session;
pub use ssm::ParameterSource;
