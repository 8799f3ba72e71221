//! How a command ended, and its exit code. Pure.

use std::process::ExitCode;

use kinesis_demo_api::{KinesisDemo, Stage};

/// The help text lists the codes (`command_line::Args`); scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    Success,
    Error,
    RunFailed,
    RunAborted,
    LeakedResources,
    Interrupted,
}

impl ExitStatus {
    /// The status that corresponds to a watched run's outcome.
    #[must_use]
    pub fn of_run(demo: &KinesisDemo) -> Self {
        match demo.status.as_ref().and_then(|status| status.stage) {
            Some(Stage::Succeeded) => Self::Success,
            Some(Stage::Aborted) => Self::RunAborted,
            Some(Stage::Failed) => Self::RunFailed,
            _ => Self::Error,
        }
    }

    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Error => 1,
            Self::RunFailed => 3,
            Self::RunAborted => 4,
            Self::LeakedResources => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line::Args;
    use clap::CommandFactory;

    #[test]
    fn every_code_is_in_the_help_text() {
        let help = Args::command().render_long_help().to_string();
        for status in [
            ExitStatus::Success,
            ExitStatus::Error,
            ExitStatus::RunFailed,
            ExitStatus::RunAborted,
            ExitStatus::LeakedResources,
            ExitStatus::Interrupted,
        ] {
            assert!(help.contains(&format!("\n  {:<5}", status.code())), "{status:?}");
        }
    }
}
