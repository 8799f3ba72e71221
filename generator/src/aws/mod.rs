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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// Collects the files under a folder, except those in a folder `aws`.
    fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("aws") {
                sources(&path, found);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }

    #[test]
    fn only_this_module_uses_the_aws_sdk() {
        let mut found = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert!(found.len() > 15, "{found:?}");
        let uses_sdk = |path: &&std::path::PathBuf| fs::read_to_string(path).unwrap().contains("aws_sdk_");
        assert_eq!(found.iter().filter(uses_sdk).collect::<Vec<_>>(), Vec::<&std::path::PathBuf>::new());
    }
}
