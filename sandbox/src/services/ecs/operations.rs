//! What ECS offers, and what it does with each member (`crate::operations`). Whether a task definition's members can be had
//! depends on what runs tasks, too: `task_rules`.

use super::request::REFUSAL;
use crate::operations::Operation;

/// What is not modelled of services ("UnsupportedFeatureException: the specified capability isn't supported").
pub(super) const UNSUPPORTED: &str = "UnsupportedFeatureException";
/// RegisterTaskDefinition refuses wrong definitions with it.
const CLIENT: &str = "ClientException";

const fn offered(name: &'static str, honoured: &'static str) -> Operation {
    Operation::honouring(name, REFUSAL, honoured)
}

const BALANCED: (&str, &str) =
    ("availabilityZoneRebalancing", "tasks are in no Availability Zone; it is shown as it was set");
const EXECUTED: (&str, &str) = (
    "enableExecuteCommand",
    "ExecuteCommand, which it permits, is not offered and says so; it is shown as it was set",
);
const CLUSTER_SETTINGS: &[(&str, &str)] = &[
    ("settings.name", "of Container Insights, whose metrics are AWS's own; shown as it was set"),
    ("settings.value", "of Container Insights, whose metrics are AWS's own; shown as it was set"),
];
const SERVICE_SETTINGS: &[(&str, &str)] = &[BALANCED, EXECUTED];

/// What tasks of a definition have in any case, or cannot have more of.
const DEFINITION_SETTINGS: &[(&str, &str)] = &[
    ("taskRoleArn", "tasks have the sandbox's own credentials, whose holder is denied nothing"),
    ("runtimePlatform.cpuArchitecture", "checked; the architecture of the machine or node counts"),
    ("runtimePlatform.operatingSystemFamily", "checked; only LINUX is offered"),
    ("ephemeralStorage.sizeInGiB", "checked; the file system is that of the machine, or read-only"),
    ("containerDefinitions.portMappings", "with awsvpc networking it opens no port"),
    ("containerDefinitions.readonlyRootFilesystem", "it only takes rights away"),
    ("containerDefinitions.dockerLabels", "no operation that is offered shows them but as they were set"),
    ("containerDefinitions.versionConsistency", "it says nothing about what runs"),
];

/// All that is offered.
pub(super) const OPERATIONS: &[Operation] = &[
    offered(
        "CreateCluster",
        "clusterName tags.key tags.value capacityProviders defaultCapacityProviderStrategy.capacityProvider
         defaultCapacityProviderStrategy.weight defaultCapacityProviderStrategy.base",
    )
    .idle(CLUSTER_SETTINGS)
    .refusing("configuration serviceConnectDefaults"),
    offered(
        "PutClusterCapacityProviders",
        "cluster capacityProviders defaultCapacityProviderStrategy.capacityProvider
         defaultCapacityProviderStrategy.weight defaultCapacityProviderStrategy.base",
    ),
    offered("DescribeClusters", "clusters include"),
    offered("ListClusters", "nextToken maxResults"),
    offered("DeleteCluster", "cluster"),
    Operation::honouring(
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
    .idle(DEFINITION_SETTINGS)
    .refusing(
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
    offered("DescribeTaskDefinition", "taskDefinition include"),
    offered("ListTaskDefinitions", "familyPrefix status sort nextToken maxResults"),
    offered("ListTaskDefinitionFamilies", "familyPrefix status nextToken maxResults"),
    offered("DeregisterTaskDefinition", "taskDefinition"),
    offered("DeleteTaskDefinitions", "taskDefinitions"),
    Operation::honouring(
        "CreateService",
        UNSUPPORTED,
        "cluster serviceName taskDefinition desiredCount clientToken launchType platformVersion schedulingStrategy
         capacityProviderStrategy.capacityProvider capacityProviderStrategy.weight capacityProviderStrategy.base
         deploymentConfiguration.deploymentCircuitBreaker.enable
         deploymentConfiguration.deploymentCircuitBreaker.rollback
         deploymentConfiguration.deploymentCircuitBreaker.resetOnHealthyTask
         deploymentConfiguration.maximumPercent deploymentConfiguration.minimumHealthyPercent
         deploymentConfiguration.strategy deploymentController.type
         networkConfiguration.awsvpcConfiguration.subnets networkConfiguration.awsvpcConfiguration.securityGroups
         networkConfiguration.awsvpcConfiguration.assignPublicIp
         tags.key tags.value enableECSManagedTags propagateTags",
    )
    .idle(SERVICE_SETTINGS)
    .refusing(
        "role loadBalancers serviceRegistries placementConstraints placementStrategy healthCheckGracePeriodSeconds
         serviceConnectConfiguration volumeConfigurations vpcLatticeConfigurations gatewayConnectors monitoring
         deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration deploymentConfiguration.alarms
         deploymentConfiguration.bakeTimeInMinutes deploymentConfiguration.lifecycleHooks
         deploymentConfiguration.linearConfiguration deploymentConfiguration.canaryConfiguration
         deploymentConfiguration.earlySuccessCriteria",
    ),
    Operation::honouring(
        "UpdateService",
        UNSUPPORTED,
        "cluster service taskDefinition desiredCount forceNewDeployment platformVersion
         capacityProviderStrategy.capacityProvider capacityProviderStrategy.weight capacityProviderStrategy.base
         deploymentConfiguration.deploymentCircuitBreaker.enable
         deploymentConfiguration.deploymentCircuitBreaker.rollback
         deploymentConfiguration.deploymentCircuitBreaker.resetOnHealthyTask
         deploymentConfiguration.maximumPercent deploymentConfiguration.minimumHealthyPercent
         deploymentConfiguration.strategy deploymentController.type
         networkConfiguration.awsvpcConfiguration.subnets networkConfiguration.awsvpcConfiguration.securityGroups
         networkConfiguration.awsvpcConfiguration.assignPublicIp enableECSManagedTags propagateTags",
    )
    .idle(SERVICE_SETTINGS)
    .refusing(
        "loadBalancers serviceRegistries placementConstraints placementStrategy healthCheckGracePeriodSeconds
         serviceConnectConfiguration volumeConfigurations vpcLatticeConfigurations gatewayConnectors monitoring
         deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration deploymentConfiguration.alarms
         deploymentConfiguration.bakeTimeInMinutes deploymentConfiguration.lifecycleHooks
         deploymentConfiguration.linearConfiguration deploymentConfiguration.canaryConfiguration
         deploymentConfiguration.earlySuccessCriteria",
    ),
    offered("DescribeServices", "cluster services include"),
    offered(
        "ListServices",
        "cluster nextToken maxResults launchType schedulingStrategy resourceManagementType",
    ),
    offered("DeleteService", "cluster service force"),
    offered("ListTasks", "cluster family nextToken maxResults startedBy serviceName desiredStatus launchType")
        .refusing("containerInstance daemonName"),
    offered("DescribeTasks", "cluster tasks include"),
    offered("StopTask", "cluster task reason"),
    offered("UpdateTaskProtection", "cluster tasks protectionEnabled expiresInMinutes"),
    offered("GetTaskProtection", "cluster tasks"),
    offered("TagResource", "resourceArn tags.key tags.value"),
    offered("UntagResource", "resourceArn tagKeys"),
    offered("ListTagsForResource", "resourceArn"),
];
