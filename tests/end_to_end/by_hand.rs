//! Manual changes, as someone with the AWS console makes them. In: the sandbox's address. Out:
//! changes that bypass the proxy of a test. Uses the AWS SDK with its default user agent, so these
//! calls do not count as the operator's.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_applicationautoscaling::types::{ScalableDimension, ServiceNamespace};
use aws_sdk_ssm::types::ResourceTypeForTagging;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_local_cluster::programs::{CLUSTER, REGION};
use kinesis_demo_local_cluster::sandbox::address::SandboxAddress;
use kinesis_demo_testing::wait::wait_for;

/// The polling interval of the sandbox.
const POLL: Duration = Duration::from_millis(50);

pub struct ByHand {
    pub kinesis: aws_sdk_kinesis::Client,
    pub ecs: aws_sdk_ecs::Client,
    pub logs: aws_sdk_cloudwatchlogs::Client,
    ssm: aws_sdk_ssm::Client,
    scaling: aws_sdk_applicationautoscaling::Client,
}

/// The config of an SDK client that only uses this address.
pub async fn sdk_config(address: &SandboxAddress) -> aws_config::SdkConfig {
    let SandboxAddress { endpoint, access_key_id } = address;
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new(access_key_id, "sandbox", None, None, "test"))
        .load()
        .await
}

impl ByHand {
    pub async fn at(address: &SandboxAddress) -> Self {
        let config = sdk_config(address).await;
        Self {
            kinesis: aws_sdk_kinesis::Client::new(&config),
            ecs: aws_sdk_ecs::Client::new(&config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&config),
            ssm: aws_sdk_ssm::Client::new(&config),
            scaling: aws_sdk_applicationautoscaling::Client::new(&config),
        }
    }

    /// The ids of the tasks of a service.
    pub async fn task_ids(&self, service: &str) -> Vec<String> {
        let tasks = self.ecs.list_tasks().cluster(CLUSTER).service_name(service).send().await;
        let arns = tasks.map(|tasks| tasks.task_arns().to_vec()).unwrap_or_default();
        arns.iter().filter_map(|arn| arn.rsplit('/').next()).map(str::to_owned).collect()
    }

    pub async fn document(&self, parameter: &str) -> Option<ControlDocument> {
        let response = self.ssm.get_parameter().name(parameter).send().await.ok()?;
        ControlDocument::parse(response.parameter()?.value()?).ok()
    }

    pub async fn write_document(&self, parameter: &str, document: &ControlDocument) {
        let text = document.to_text().unwrap();
        self.ssm.put_parameter().name(parameter).value(text).overwrite(true).send().await.unwrap();
    }

    pub async fn delete_parameter(&self, parameter: &str) {
        self.ssm.delete_parameter().name(parameter).send().await.unwrap();
    }

    /// Waits until the operator renews the document, and returns it.
    pub async fn renewed_document(&self, parameter: &str) -> ControlDocument {
        let before = self.document(parameter).await.unwrap();
        loop {
            tokio::time::sleep(POLL).await;
            if let Some(document) = self.document(parameter).await
                && document.valid_until > before.valid_until
            {
                return document;
            }
        }
    }

    /// Waits until the parameter exists and has the owner tag.
    pub async fn wait_until_tagged(&self, parameter: &str, limit: Duration) {
        let tagged = wait_for(limit, || async {
            let tags = self.ssm.list_tags_for_resource().resource_id(parameter);
            let tags = tags.resource_type(ResourceTypeForTagging::Parameter).send().await.ok()?;
            tags.tag_list().iter().any(|tag| tag.key() == "kinesisdemo.io/owner").then_some(())
        });
        assert!(
            tagged.await.is_some(),
            "{parameter} has no owner tag after {limit:?}: {:?}",
            self.document(parameter).await
        );
    }

    pub async fn delete_scale_to_zero(&self, service: &str) {
        let request = self
            .scaling
            .deregister_scalable_target()
            .service_namespace(ServiceNamespace::Ecs)
            .resource_id(format!("service/{CLUSTER}/{service}"))
            .scalable_dimension(ScalableDimension::EcsServiceDesiredCount);
        request.send().await.unwrap();
    }

    /// The schedule of a service's scale-to-zero, in the format of AWS.
    pub async fn scale_to_zero(&self, service: &str) -> Option<String> {
        let actions = self.scaling.describe_scheduled_actions().service_namespace(ServiceNamespace::Ecs);
        let actions = actions.resource_id(format!("service/{CLUSTER}/{service}")).send().await.unwrap();
        actions.scheduled_actions().first().map(|action| action.schedule().to_owned())
    }
}

/// Sleeps until an instant of wall time.
pub async fn sleep_until(at: MicroTime) {
    let now = MicroTime::from(jiff::Timestamp::now());
    tokio::time::sleep(at.since(now)).await;
}
