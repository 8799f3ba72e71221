//! Shell lines that point kubectl and the AWS CLI at the demo. In: addresses and files. Out: text.
//! Pure.

use std::path::Path;

use kinesis_demo_local_cluster::sandbox::address::{SandboxAddress, aws_variables};
use kinesis_demo_local_cluster::shell::quoted;

/// kubectl's cache for the demo's API server. It is in the demo's folder, not in `~/.kube/cache`.
pub const KUBECTL_CACHE: &str = "kubectl-cache";

/// The text of `<state>/env`. It contains the key, so only its user may read the file.
#[must_use]
pub fn env_file(state: &Path, kubeconfig: &Path, sandbox: &SandboxAddress, region: &str) -> String {
    let mut lines =
        vec!["# Source this file (`. …/env`) to use kubectl and the AWS CLI with the local demo.".to_owned()];
    let mut variables = vec![
        ("KUBECONFIG", kubeconfig.display().to_string()),
        ("KUBECACHEDIR", state.join(KUBECTL_CACHE).display().to_string()),
    ];
    variables.extend(aws_variables(sandbox, region));
    lines.extend(variables.iter().map(|(name, value)| format!("export {name}={}", quoted(value))));
    // The user's session token would be sent together with the sandbox's key.
    lines.push("unset AWS_SESSION_TOKEN AWS_PROFILE".to_owned());
    // The user's proxy cannot reach this machine's loopback address, and not every tool exempts it.
    // Some tools read NO_PROXY, others no_proxy.
    lines.push("NO_PROXY=${NO_PROXY:-${no_proxy:-}}".to_owned());
    lines.push("export NO_PROXY=\"127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}\"".to_owned());
    lines.push("export no_proxy=\"$NO_PROXY\"".to_owned());
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_added_to_existing_proxy_exemptions() {
        let sandbox =
            SandboxAddress { endpoint: "http://127.0.0.1:4566".into(), access_key_id: "SANDBOX0".into() };
        let text = env_file(Path::new("/s"), Path::new("/k"), &sandbox, "us-east-1");
        let read = |before: &str| {
            let script = format!(
                "set -eu; unset NO_PROXY no_proxy; {before}\n{text}printf '%s|%s' \"$NO_PROXY\" \"$no_proxy\""
            );
            let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let both = |list: &str| format!("{list}|{list}");
        assert_eq!(read(""), both("127.0.0.1,localhost"));
        for before in ["export NO_PROXY=a.example,b", "no_proxy=a.example,b"] {
            assert_eq!(read(before), both("127.0.0.1,localhost,a.example,b"), "{before}");
        }
    }

    #[test]
    fn a_shell_reads_the_values_for_any_folder_name() {
        let sandbox = SandboxAddress {
            endpoint: "http://127.0.0.1:4566".into(),
            access_key_id: "SANDBOX0123456789".into(),
        };
        for folder in ["/home/o'neil/my demo", "/a=b/50%/\u{e9}t\u{e9}", "/\"q\" $HOME `id`/two\nlines"] {
            let kubeconfig = format!("{folder}/admin.kubeconfig");
            let text = env_file(Path::new(folder), Path::new(&kubeconfig), &sandbox, "us-east-1");
            let script = format!(
                "{text}printf '%s|%s|%s|%s|%s' \"$KUBECONFIG\" \"$KUBECACHEDIR\" \"$AWS_ENDPOINT_URL\" \"$AWS_ACCESS_KEY_ID\" \"$AWS_REGION\""
            );
            let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
            assert_eq!(
                String::from_utf8(output.stdout).unwrap(),
                format!(
                    "{kubeconfig}|{folder}/kubectl-cache|http://127.0.0.1:4566|SANDBOX0123456789|us-east-1"
                )
            );
        }
    }
}
