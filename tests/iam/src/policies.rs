//! The policies in `foundation/iam`, filled in for an account. In: where they are deployed. Out: policy documents as IAM would hold them.

use std::fs;

use iam_rs::IAMPolicy;

use crate::call::Principal;
use crate::repository;

/// The shipped documents.
pub const DOCUMENTS: [&str; 4] = ["operator", "operator-advantage", "task", "execution"];

/// Where the policies are deployed: what CloudFormation would fill in.
#[derive(Clone, Debug)]
pub struct Deployment {
    pub partition: String,
    pub account: String,
    pub region: String,
    pub cluster: String,
    pub stream_names: String,
    pub task_role_arn: String,
    pub execution_role_arn: String,
}

impl Deployment {
    /// As the sandbox and the end-to-end tests have it.
    pub fn sandbox() -> Self {
        let role = |name: &str| format!("arn:aws:iam::000000000000:role/{name}");
        Self {
            partition: "aws".to_owned(),
            account: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            cluster: "kinesis-demo".to_owned(),
            stream_names: "*".to_owned(),
            task_role_arn: role("kinesis-demo-task"),
            execution_role_arn: role("kinesis-demo-execution"),
        }
    }

    /// A document, filled in. What it leaves open is a mistake in the document.
    pub fn fill(&self, document: &str) -> Result<String, String> {
        let values = [
            ("${AWS::Partition}", &self.partition),
            ("${AWS::AccountId}", &self.account),
            ("${AWS::Region}", &self.region),
            ("${ClusterName}", &self.cluster),
            ("${StreamNames}", &self.stream_names),
            ("${TaskRole.Arn}", &self.task_role_arn),
            ("${ExecutionRole.Arn}", &self.execution_role_arn),
        ];
        let filled = values.iter().fold(document.to_owned(), |text, (name, value)| text.replace(name, value));
        match filled.split_once("${") {
            Some((_, rest)) => {
                Err(format!("nobody fills in ${{{}", rest.split('}').next().unwrap_or_default()))
            }
            None => Ok(filled),
        }
    }

    /// The policies of a principal, of documents that `text_of` gives by name.
    pub fn policies(
        &self,
        principal: Principal,
        text_of: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Vec<IAMPolicy>, String> {
        let names: &[&str] = match principal {
            Principal::Operator => &["operator"],
            Principal::OperatorWithAdvantage => &["operator", "operator-advantage"],
            Principal::Task => &["task"],
            Principal::Execution => &["execution"],
            Principal::Other => &[],
        };
        let policy = |name: &&str| {
            let text = self.fill(&text_of(name)?)?;
            IAMPolicy::from_json(&text).map_err(|error| format!("{name}: {error}"))
        };
        names.iter().map(policy).collect()
    }
}

/// A shipped document as it is in the file.
pub fn text_of(name: &str) -> Result<String, String> {
    let path = repository().join("foundation/iam").join(format!("{name}.json"));
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}
