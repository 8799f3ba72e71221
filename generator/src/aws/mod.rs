//! The only place that knows the AWS SDK. Each file puts one service behind one of our ports and only translates.

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

    /// The files of a folder and its folders, but for this one.
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
    fn nobody_else_knows_the_sdk() {
        let mut found = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert!(found.len() > 15, "{found:?}");
        let knows = |path: &&std::path::PathBuf| fs::read_to_string(path).unwrap().contains("aws_sdk_");
        assert_eq!(found.iter().filter(knows).collect::<Vec<_>>(), Vec::<&std::path::PathBuf>::new());
    }
}
