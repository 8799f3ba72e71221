//! An error and its causes on one line, for logs and messages.

use std::error::Error;

/// The error and its causes, outermost first, separated by colons.
///
/// A cause is omitted if the text so far contains it, because some libraries repeat the text of
/// their cause. Of a Kubernetes API error only the server's message is used.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut line = message(error);
    for cause in std::iter::successors(cause_of(error), |cause| cause_of(*cause)) {
        let text = message(cause);
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
    }
    line
}

fn message(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => status.message.clone(),
        _ => error.to_string(),
    }
}

/// The cause of an error. The cause of a Kubernetes API error is its status, whose message is used
/// already.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(_)) => None,
        _ => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        #[source]
        cause: Option<Box<dyn Error + Send + Sync>>,
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let (text, rest) = texts.split_first().unwrap();
        let cause = (!rest.is_empty()).then(|| Box::new(layers(rest)) as Box<dyn Error + Send + Sync>);
        Layer { text, cause }
    }

    #[test]
    fn causes_follow_once_and_outermost_first() {
        assert_eq!(error_chain(&layers(&["read a"])), "read a");
        assert_eq!(error_chain(&layers(&["read a", "connect", "refused"])), "read a: connect: refused");
        assert_eq!(
            error_chain(&layers(&["read a", "connect: refused", "refused"])),
            "read a: connect: refused"
        );
    }

    #[test]
    fn a_kubernetes_api_error_is_the_servers_message() {
        let status = kube::core::Status::failure("pods is forbidden", "Forbidden").boxed();
        let cause = Some(Box::new(kube::Error::Api(status)) as Box<dyn Error + Send + Sync>);
        assert_eq!(error_chain(&Layer { text: "list Pods", cause }), "list Pods: pods is forbidden");
    }
}
