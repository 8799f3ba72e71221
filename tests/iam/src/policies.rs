//! The policies in `foundation/iam` with their placeholders filled in. In: the deployment. Out:
//! policy documents as IAM stores them.

use std::fs;

use iam_rs::IAMPolicy;

use crate::call::Principal;
use crate::repository;

/// The published documents.
pub const DOCUMENTS: [&str; 4] = ["operator", "operator-advantage", "task", "execution"];

/// The deployment of the policies: the values that CloudFormation would fill in.
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
    /// The values in the sandbox and the end-to-end tests.
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

    /// A document with its placeholders filled in. A placeholder that is left is an error in the
    /// document.
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
                Err(format!("unknown placeholder ${{{}}}", rest.split('}').next().unwrap_or_default()))
            }
            None => Ok(filled),
        }
    }

    /// The policies of a principal. `text_of` returns the document with a name.
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

/// A published document as it is in the file.
pub fn text_of(name: &str) -> Result<String, String> {
    let path = repository().join("foundation/iam").join(format!("{name}.json"));
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}
