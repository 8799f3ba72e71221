//! The ECS operations that are supported, and how each parameter is treated (`crate::operations`).
//! Whether a task definition may use a member also depends on what runs tasks: `task_rules`.

mod fargate;
mod service_settings;

pub mod clusters;
pub mod services;
pub mod tags;
pub mod task_definitions;
pub mod task_protection;
pub mod task_rules;
pub mod tasks;

use super::errors::{CLIENT, INVALID_REQUEST, UNSUPPORTED_FEATURE};
use crate::operations::{Operation, SharedParameters};

const fn operation(name: &'static str, supported: &'static str) -> Operation {
    Operation::supporting(name, INVALID_REQUEST, supported)
}

const BALANCED: (&str, &str) = (
    "availabilityZoneRebalancing",
    "all tasks are in one Availability Zone; the value is returned as it was set",
);
const EXECUTED: (&str, &str) = (
    "enableExecuteCommand",
    "it permits ExecuteCommand, which is not supported; the value is returned as it was set",
);
const CLUSTER_SETTINGS: &[(&str, &str)] = &[
    ("settings.name", "Container Insights metrics are not modelled; the value is returned as it was set"),
    ("settings.value", "Container Insights metrics are not modelled; the value is returned as it was set"),
];
/// The parameters that CreateService and UpdateService have alike.
const SERVICE: SharedParameters = SharedParameters {
    supported: "cluster taskDefinition desiredCount platformVersion
         capacityProviderStrategy.capacityProvider capacityProviderStrategy.weight capacityProviderStrategy.base
         deploymentConfiguration.deploymentCircuitBreaker.enable
         deploymentConfiguration.deploymentCircuitBreaker.rollback
         deploymentConfiguration.deploymentCircuitBreaker.resetOnHealthyTask
         deploymentConfiguration.maximumPercent deploymentConfiguration.minimumHealthyPercent
         deploymentConfiguration.strategy deploymentController.type
         networkConfiguration.awsvpcConfiguration.subnets networkConfiguration.awsvpcConfiguration.securityGroups
         networkConfiguration.awsvpcConfiguration.assignPublicIp enableECSManagedTags propagateTags",
    without_effect: &[BALANCED, EXECUTED],
    rejected: "loadBalancers serviceRegistries placementConstraints placementStrategy healthCheckGracePeriodSeconds
         serviceConnectConfiguration volumeConfigurations vpcLatticeConfigurations gatewayConnectors monitoring
         deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration deploymentConfiguration.alarms
         deploymentConfiguration.bakeTimeInMinutes deploymentConfiguration.lifecycleHooks
         deploymentConfiguration.linearConfiguration deploymentConfiguration.canaryConfiguration
         deploymentConfiguration.earlySuccessCriteria",
};

/// Members that have no effect because tasks have these properties in any case, or cannot have
/// others.
const DEFINITION_SETTINGS: &[(&str, &str)] = &[
    ("taskRoleArn", "tasks use the sandbox's own credentials, which permit everything"),
    ("runtimePlatform.cpuArchitecture", "validated; tasks use the architecture of the machine or node"),
    ("runtimePlatform.operatingSystemFamily", "validated; only LINUX is supported"),
    ("ephemeralStorage.sizeInGiB", "validated; tasks use the file system of the machine, or a read-only one"),
    ("containerDefinitions.portMappings", "with awsvpc networking it opens no port"),
    ("containerDefinitions.readonlyRootFilesystem", "it only removes permissions"),
    ("containerDefinitions.dockerLabels", "the labels are only returned as they were set"),
    ("containerDefinitions.versionConsistency", "it does not change what runs"),
];

/// All supported operations.
pub const OPERATIONS: &[Operation] = &[
    operation(
        "CreateCluster",
        "clusterName tags.key tags.value capacityProviders defaultCapacityProviderStrategy.capacityProvider
         defaultCapacityProviderStrategy.weight defaultCapacityProviderStrategy.base",
    )
    .without_effect(CLUSTER_SETTINGS)
    .rejecting("configuration serviceConnectDefaults"),
    operation(
        "PutClusterCapacityProviders",
        "cluster capacityProviders defaultCapacityProviderStrategy.capacityProvider
         defaultCapacityProviderStrategy.weight defaultCapacityProviderStrategy.base",
    ),
    operation("DescribeClusters", "clusters include"),
    operation("ListClusters", "nextToken maxResults"),
    operation("DeleteCluster", "cluster"),
    Operation::supporting(
        "RegisterTaskDefinition",
        CLIENT,
        "family executionRoleArn networkMode requiresCompatibilities cpu memory tags.key tags.value
         containerDefinitions.name containerDefinitions.image containerDefinitions.cpu containerDefinitions.memory
         containerDefinitions.memoryReservation containerDefinitions.essential containerDefinitions.entryPoint
         containerDefinitions.command containerDefinitions.workingDirectory containerDefinitions.user
         containerDefinitions.environment.name containerDefinitions.environment.value
         containerDefinitions.stopTimeout containerDefinitions.logConfiguration.logDriver
         containerDefinitions.logConfiguration.options",
    )
    .without_effect(DEFINITION_SETTINGS)
    .rejecting(
        "volumes placementConstraints pidMode ipcMode proxyConfiguration inferenceAccelerators enableFaultInjection
         trustedExecutionConfiguration
         containerDefinitions.repositoryCredentials containerDefinitions.links containerDefinitions.restartPolicy
         containerDefinitions.environmentFiles containerDefinitions.mountPoints containerDefinitions.volumesFrom
         containerDefinitions.linuxParameters containerDefinitions.secrets containerDefinitions.dependsOn
         containerDefinitions.startTimeout containerDefinitions.hostname containerDefinitions.disableNetworking
         containerDefinitions.privileged containerDefinitions.dnsServers containerDefinitions.dnsSearchDomains
         containerDefinitions.extraHosts containerDefinitions.dockerSecurityOptions
         containerDefinitions.interactive containerDefinitions.pseudoTerminal containerDefinitions.ulimits
         containerDefinitions.logConfiguration.secretOptions containerDefinitions.healthCheck
         containerDefinitions.systemControls containerDefinitions.resourceRequirements
         containerDefinitions.firelensConfiguration containerDefinitions.credentialSpecs",
    ),
    operation("DescribeTaskDefinition", "taskDefinition include"),
    operation("ListTaskDefinitions", "familyPrefix status sort nextToken maxResults"),
    operation("ListTaskDefinitionFamilies", "familyPrefix status nextToken maxResults"),
    operation("DeregisterTaskDefinition", "taskDefinition"),
    operation("DeleteTaskDefinitions", "taskDefinitions"),
    Operation::supporting(
        "CreateService",
        UNSUPPORTED_FEATURE,
        "serviceName clientToken launchType schedulingStrategy tags.key tags.value",
    )
    .rejecting("role")
    .sharing(&SERVICE),
    Operation::supporting("UpdateService", UNSUPPORTED_FEATURE, "service forceNewDeployment").sharing(&SERVICE),
    operation("DescribeServices", "cluster services include"),
    operation(
        "ListServices",
        "cluster nextToken maxResults launchType schedulingStrategy resourceManagementType",
    ),
    operation("DeleteService", "cluster service force"),
    operation("ListTasks", "cluster family nextToken maxResults startedBy serviceName desiredStatus launchType")
        .rejecting("containerInstance daemonName"),
    operation("DescribeTasks", "cluster tasks include"),
    operation("StopTask", "cluster task reason"),
    operation("UpdateTaskProtection", "cluster tasks protectionEnabled expiresInMinutes"),
    operation("GetTaskProtection", "cluster tasks"),
    operation("TagResource", "resourceArn tags.key tags.value"),
    operation("UntagResource", "resourceArn tagKeys"),
    operation("ListTagsForResource", "resourceArn"),
];
