//! What AWS checks before it executes a call. In: a call. Out: actions, resources and the condition
//! keys that the request fills. Pure.
//!
//! Sources: the Service Authorization Reference for what each action checks. Where a call needs
//! more than the action of its name, the source is next to the code.

use serde_json::Value;

use crate::call::Call;

/// One permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// `service:Action`.
    pub action: String,
    pub resource: Resource,
    /// Condition keys and their values, without those of the resource.
    pub context: Vec<(String, String)>,
}

/// The resource of a permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// No particular resource.
    Any,
    Arn(String),
}

/// The ARNs of the resources that a call names.
pub struct Names<'a> {
    region: &'a str,
    account: &'a str,
    cluster: Option<&'a str>,
}

impl<'a> Names<'a> {
    /// The names in a call made in `account`.
    pub fn of(call: &'a Call, account: &'a str) -> Self {
        let cluster =
            call.text("cluster").or_else(|| match (call.service.as_str(), call.text("ResourceId")) {
                // `service/cluster/name`
                ("application-autoscaling", Some(id)) => id.split('/').nth(1),
                _ => None,
            });
        Self { region: &call.region, account, cluster }
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account)
    }

    /// `name` may already be an ARN.
    fn named(&self, service: &str, prefix: &str, name: &str) -> String {
        if name.starts_with("arn:") { name.to_owned() } else { self.arn(service, &format!("{prefix}{name}")) }
    }

    /// The cluster's name. Without one, ECS uses the cluster `default`.
    pub fn cluster_name(&self) -> String {
        let cluster = self.cluster.unwrap_or("default");
        cluster.rsplit('/').next().unwrap_or(cluster).to_owned()
    }

    pub fn cluster(&self, name: &str) -> String {
        self.named("ecs", "cluster/", name)
    }

    pub fn service(&self, name: &str) -> String {
        self.named("ecs", &format!("service/{}/", self.cluster_name()), name)
    }

    pub fn task(&self, name: &str) -> String {
        self.named("ecs", &format!("task/{}/", self.cluster_name()), name)
    }

    /// A task definition with its revision. If the call names only the family, revision 1.
    pub fn definition(&self, name: &str) -> String {
        let arn = self.named("ecs", "task-definition/", name);
        if arn.matches(':').count() == 5 { format!("{arn}:1") } else { arn }
    }

    pub fn stream(&self, name: &str) -> String {
        self.named("kinesis", "stream/", name)
    }

    pub fn parameter(&self, name: &str) -> String {
        self.named("ssm", "parameter/", name.trim_start_matches('/'))
    }

    /// A log group's ARN, without the trailing `:*` that some responses have.
    pub fn log_group(&self, name: &str) -> String {
        self.named("logs", "log-group:", name).trim_end_matches(":*").to_owned()
    }

    fn log_stream(&self, group: &str, stream: &str) -> String {
        format!("{}:log-stream:{stream}", self.log_group(group))
    }

    /// Dashboards are global: their ARN has no Region.
    fn dashboard(&self, name: &str) -> String {
        format!("arn:aws:cloudwatch::{}:dashboard/{name}", self.account)
    }

    fn role(&self, name: &str) -> String {
        if name.starts_with("arn:") {
            name.to_owned()
        } else {
            format!("arn:aws:iam::{}:role/{name}", self.account)
        }
    }
}

/// The permissions that `call` needs in `account`.
pub fn needs(call: &Call, account: &str) -> Result<Vec<Need>, String> {
    let names = Names::of(call, account);
    let needs = match call.service.as_str() {
        "kinesis" => kinesis(call, &names),
        "ecs" => ecs(call, &names),
        "application-autoscaling" => scaling(call, &names),
        "ssm" => ssm(call, &names),
        "logs" => logs(call, &names),
        "monitoring" => cloudwatch(call, &names),
        "ecr" => on(
            "ecr",
            call,
            call.text("repositoryName").map(|name| names.arn("ecr", &format!("repository/{name}"))),
        ),
        "iam" => iam(call, &names),
        // Needs no permission (STS API reference, GetCallerIdentity).
        "sts" if call.operation == "GetCallerIdentity" => return Ok(Vec::new()),
        "sts" => on("sts", call, call.text("RoleArn").map(|name| names.role(name))),
        other => return Err(format!("{other}: unknown service, add it to needs.rs")),
    };
    // An unparsed list in the request would otherwise need nothing, and so be allowed.
    if needs.is_empty() {
        return Err(format!(
            "{}:{}: the request does not name the target resource",
            call.service, call.operation
        ));
    }
    Ok(needs)
}

fn need(action: impl Into<String>, arn: String, context: Vec<(String, String)>) -> Need {
    Need { action: action.into(), resource: Resource::Arn(arn), context }
}

/// The action with the call's own name, on one resource or on none.
fn on(service: &str, call: &Call, arn: Option<String>) -> Vec<Need> {
    let resource = arn.map_or(Resource::Any, Resource::Arn);
    vec![Need { action: format!("{service}:{}", call.operation), resource, context: tagged(call) }]
}

/// The same action on each of several resources.
fn on_each(service: &str, call: &Call, arns: Vec<String>, context: &[(String, String)]) -> Vec<Need> {
    arns.into_iter().map(|arn| need(format!("{service}:{}", call.operation), arn, context.to_vec())).collect()
}

fn tagged(call: &Call) -> Vec<(String, String)> {
    call.tags().into_iter().map(|(key, value)| (format!("aws:RequestTag/{key}"), value)).collect()
}

fn with(mut context: Vec<(String, String)>, key: &str, value: &str) -> Vec<(String, String)> {
    context.push((key.to_owned(), value.to_owned()));
    context
}

fn kinesis(call: &Call, names: &Names<'_>) -> Vec<Need> {
    let name = ["StreamARN", "ResourceARN", "StreamName"].iter().find_map(|member| call.text(member));
    let mut needs = on("kinesis", call, name.map(|name| names.stream(name)));
    // Tags at creation also need AddTagsToStream. TagResource is not enough (Kinesis API reference,
    // CreateStream, `Tags`).
    if call.operation == "CreateStream" && !call.tags().is_empty() {
        let own: Vec<Need> = needs.clone();
        needs.extend(
            own.into_iter().map(|need| Need { action: "kinesis:AddTagsToStream".to_owned(), ..need }),
        );
    }
    needs
}

fn ecs(call: &Call, names: &Names<'_>) -> Vec<Need> {
    let cluster = names.cluster(&names.cluster_name());
    let in_cluster = with(tagged(call), "ecs:cluster", &cluster);
    let text = |member: &str| call.text(member).unwrap_or_default();
    let each = |member: &str, arn: &dyn Fn(&str) -> String| {
        call.texts(member).into_iter().map(arn).collect::<Vec<_>>()
    };
    match call.operation.as_str() {
        "CreateService" => {
            let service = names.service(text("serviceName"));
            let mut needs = on_each("ecs", call, vec![service.clone()], &in_cluster);
            needs.extend(tag_on_create(call, service));
            // Created at the first use of ECS in an account (ECS developer guide, "Using
            // service-linked roles for Amazon ECS").
            needs.push(linked_role(names, "ecs.amazonaws.com", "AWSServiceRoleForECS"));
            needs
        }
        "UpdateService" | "DeleteService" => {
            on_each("ecs", call, vec![names.service(text("service"))], &in_cluster)
        }
        "DescribeServices" => {
            on_each("ecs", call, each("services", &|name| names.service(name)), &in_cluster)
        }
        "DescribeTasks" | "UpdateTaskProtection" => {
            on_each("ecs", call, each("tasks", &|name| names.task(name)), &in_cluster)
        }
        "StopTask" | "ExecuteCommand" => on_each("ecs", call, vec![names.task(text("task"))], &in_cluster),
        "DescribeClusters" => on_each("ecs", call, each("clusters", &|name| names.cluster(name)), &[]),
        "DeleteCluster" => on_each("ecs", call, vec![cluster], &[]),
        "RegisterTaskDefinition" => {
            let definition = names.definition(text("family"));
            let mut needs = on_each("ecs", call, vec![definition.clone()], &tagged(call));
            needs.extend(tag_on_create(call, definition));
            // A task definition passes its roles to ECS (ECS developer guide, "Grant a user
            // permissions to pass a role").
            let roles = ["taskRoleArn", "executionRoleArn"].iter().filter_map(|member| call.text(member));
            let to = [("iam:PassedToService".to_owned(), "ecs-tasks.amazonaws.com".to_owned())];
            needs.extend(roles.map(|role| need("iam:PassRole", names.role(role), to.to_vec())));
            needs
        }
        "RunTask" => on_each("ecs", call, vec![names.definition(text("taskDefinition"))], &in_cluster),
        "DeleteTaskDefinitions" => {
            on_each("ecs", call, each("taskDefinitions", &|name| names.definition(name)), &[])
        }
        "TagResource" => on_each("ecs", call, vec![text("resourceArn").to_owned()], &tagged(call)),
        // ListTasks without a container instance names no resource; the cluster is a condition (ECS
        // developer guide, "Identity-based policy examples", listing tasks).
        _ => vec![Need {
            action: format!("ecs:{}", call.operation),
            resource: Resource::Any,
            context: in_cluster,
        }],
    }
}

/// Tags at creation need ecs:TagResource on what is created (ECS developer guide, "Grant permission
/// to tag resources on creation").
fn tag_on_create(call: &Call, arn: String) -> Option<Need> {
    let context = with(tagged(call), "ecs:CreateAction", &call.operation);
    (!call.tags().is_empty()).then(|| need("ecs:TagResource", arn, context))
}

fn linked_role(names: &Names<'_>, service: &str, role: &str) -> Need {
    let context = vec![("iam:AWSServiceName".to_owned(), service.to_owned())];
    need("iam:CreateServiceLinkedRole", names.role(&format!("aws-service-role/{service}/{role}")), context)
}

/// `PassRole` is not an API operation. As a call it stands for any service that takes a role and
/// passes it to `PassedToService`.
fn iam(call: &Call, names: &Names<'_>) -> Vec<Need> {
    let role = call.text("RoleName").map(|name| names.role(name));
    match (call.operation.as_str(), call.text("AWSServiceName")) {
        ("CreateServiceLinkedRole", Some(service)) => vec![linked_role(names, service, "AWSServiceRole")],
        ("PassRole", _) => {
            let to =
                with(Vec::new(), "iam:PassedToService", call.text("PassedToService").unwrap_or_default());
            role.map(|role| need("iam:PassRole", role, to)).into_iter().collect()
        }
        _ => on("iam", call, role),
    }
}

fn scaling(call: &Call, names: &Names<'_>) -> Vec<Need> {
    let member = |name: &str| call.text(name).unwrap_or_default();
    let context = with(tagged(call), "application-autoscaling:service-namespace", member("ServiceNamespace"));
    let context = with(context, "application-autoscaling:scalable-dimension", member("ScalableDimension"));
    // The ARN ends with an id that AWS generates, so a policy cannot distinguish services by it.
    let target = names.arn("application-autoscaling", "scalable-target/0ec5a1b2c3d4");
    let mut needs = on_each("application-autoscaling", call, vec![target], &context);
    if call.operation == "RegisterScalableTarget" {
        // The caller that registers a service needs permission to change it (Application Auto
        // Scaling user guide, "Permissions validation for Application Auto Scaling API calls on
        // target resources").
        let service = member("ResourceId").rsplit('/').next().unwrap_or_default();
        let cluster = [("ecs:cluster".to_owned(), names.cluster(&names.cluster_name()))];
        needs.push(need("ecs:DescribeServices", names.service(service), cluster.to_vec()));
        needs.push(need("ecs:UpdateService", names.service(service), cluster.to_vec()));
        needs.push(linked_role(
            names,
            "ecs.application-autoscaling.amazonaws.com",
            "AWSServiceRoleForApplicationAutoScaling_ECSService",
        ));
    }
    needs
}

fn ssm(call: &Call, names: &Names<'_>) -> Vec<Need> {
    let name = ["Name", "ResourceId"].iter().find_map(|member| call.text(member));
    let mut needs = on("ssm", call, name.map(|name| names.parameter(name)));
    if call.operation == "PutParameter" {
        let overwrite = call.input.get("Overwrite").and_then(Value::as_bool).unwrap_or(false);
        for need in &mut needs {
            need.context.push(("ssm:Overwrite".to_owned(), overwrite.to_string()));
        }
        // Tags in PutParameter need ssm:AddTagsToResource (Systems Manager user guide, "Tag-based
        // access to parameters").
        if !call.tags().is_empty() {
            let own: Vec<Need> = needs.clone();
            needs.extend(
                own.into_iter().map(|need| Need { action: "ssm:AddTagsToResource".to_owned(), ..need }),
            );
        }
    }
    needs
}

fn logs(call: &Call, names: &Names<'_>) -> Vec<Need> {
    let group =
        ["logGroupName", "logGroupIdentifier", "resourceArn"].iter().find_map(|member| call.text(member));
    let arn = match (group, call.text("logStreamName")) {
        (Some(group), Some(stream)) => Some(names.log_stream(group, stream)),
        (group, _) => group.map(|group| names.log_group(group)),
    };
    let mut needs = on("logs", call, arn);
    // Tags at creation also need logs:TagResource (CloudWatch Logs API reference, CreateLogGroup,
    // `tags`).
    if call.operation == "CreateLogGroup" && !call.tags().is_empty() {
        let own: Vec<Need> = needs.clone();
        needs.extend(own.into_iter().map(|need| Need { action: "logs:TagResource".to_owned(), ..need }));
    }
    needs
}

fn cloudwatch(call: &Call, names: &Names<'_>) -> Vec<Need> {
    match call.operation.as_str() {
        "PutMetricData" => {
            let context =
                with(Vec::new(), "cloudwatch:namespace", call.text("Namespace").unwrap_or_default());
            vec![Need { action: "cloudwatch:PutMetricData".to_owned(), resource: Resource::Any, context }]
        }
        "DeleteDashboards" => {
            let dashboards =
                call.texts("DashboardNames").into_iter().map(|name| names.dashboard(name)).collect();
            on_each("cloudwatch", call, dashboards, &[])
        }
        _ => {
            let arn = call.text("DashboardName").map(|name| names.dashboard(name));
            let mut needs = on("cloudwatch", call, arn);
            // Tags in PutDashboard need cloudwatch:TagResource (CloudWatch API reference,
            // PutDashboard).
            if call.operation == "PutDashboard" && !call.tags().is_empty() {
                let own: Vec<Need> = needs.clone();
                needs.extend(
                    own.into_iter().map(|need| Need { action: "cloudwatch:TagResource".to_owned(), ..need }),
                );
            }
            needs
        }
    }
}
