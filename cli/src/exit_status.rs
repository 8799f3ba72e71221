//! How a command ended, and its exit code. Pure.

use std::process::ExitCode;

use kinesis_demo_api::{KinesisDemo, Stage};

/// The help text lists the codes (`args::Args`); scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Done,
    Error,
    RunFailed,
    RunAborted,
    Leftovers,
    Interrupted,
}

impl Ending {
    /// The ending that corresponds to a watched run's outcome.
    #[must_use]
    pub fn of_run(demo: &KinesisDemo) -> Self {
        match demo.status.as_ref().and_then(|status| status.stage) {
            Some(Stage::Succeeded) => Self::Done,
            Some(Stage::Aborted) => Self::RunAborted,
            Some(Stage::Failed) => Self::RunFailed,
            _ => Self::Error,
        }
    }

    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::RunFailed => 3,
            Self::RunAborted => 4,
            Self::Leftovers => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(ending.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Args;
    use clap::CommandFactory;

    #[test]
    fn every_code_is_in_the_help_text() {
        let help = Args::command().render_long_help().to_string();
        for ending in [
            Ending::Done,
            Ending::Error,
            Ending::RunFailed,
            Ending::RunAborted,
            Ending::Leftovers,
            Ending::Interrupted,
        ] {
            assert!(help.contains(&format!("\n  {:<5}", ending.code())), "{ending:?}");
        }
    }
}
