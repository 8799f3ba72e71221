//! The shell lines by which kubectl and the AWS CLI find the demo. In: addresses and files. Out: text. Pure.

use std::path::Path;

use crate::laptop::shell::quoted;

/// The sandbox believes any key; these are AWS's documented examples of what none is.
pub const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// The variables by which an AWS SDK or CLI finds the sandbox and nothing else: no metadata service, no profile of the user's.
#[must_use]
pub fn aws_variables(endpoint: &str, region: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_REGION", region.to_owned()),
        ("AWS_DEFAULT_REGION", region.to_owned()),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

/// The text of `<state>/env`.
#[must_use]
pub fn environment(kubeconfig: &Path, endpoint: &str, region: &str) -> String {
    let mut lines = vec!["# Lets a shell that reads this (`. …/env`) talk to the laptop's demo.".to_owned()];
    let mut variables = vec![("KUBECONFIG", kubeconfig.display().to_string())];
    variables.extend(aws_variables(endpoint, region));
    lines.extend(variables.iter().map(|(name, value)| format!("export {name}={}", quoted(value))));
    // A session token of the user's own would be sent along with the example keys.
    lines.push("unset AWS_SESSION_TOKEN AWS_PROFILE".to_owned());
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_meant_whatever_the_folder_is_called() {
        for folder in ["/home/o'neil/my demo", "/a=b/50%/\u{e9}t\u{e9}", "/\"q\" $HOME `id`/two\nlines"] {
            let kubeconfig = format!("{folder}/admin.kubeconfig");
            let text = environment(Path::new(&kubeconfig), "http://127.0.0.1:4566", "us-east-1");
            let script =
                format!("{text}printf '%s|%s|%s' \"$KUBECONFIG\" \"$AWS_ENDPOINT_URL\" \"$AWS_REGION\"");
            let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
            assert_eq!(
                String::from_utf8(output.stdout).unwrap(),
                format!("{kubeconfig}|http://127.0.0.1:4566|us-east-1")
            );
        }
    }
}
