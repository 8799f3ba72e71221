{{/* The operator's arguments, environment and permissions. In: values. Out: lists. */}}

{{/* The sandbox checks neither roles nor networks, but the operator requires them as on AWS, so these are placeholder names. */}}
{{- define "kinesis-demo-operator.arguments" -}}
- run
- --admin-address={{ .Values.listenHost }}:8080
{{- range .Values.watch.namespaces }}
- --namespace={{ . }}
{{- end }}
{{- range .Values.aws.accounts }}
- --account={{ . }}
{{- end }}
{{- range .Values.aws.regions }}
- --region={{ . }}
{{- end }}
- --ecs-cluster={{ .Values.aws.ecsCluster }}
{{- range .Values.aws.subnets | default (ternary (list "subnet-0a1b2c3d") list .Values.sandbox.enabled) }}
- --subnet={{ . }}
{{- end }}
{{- range .Values.aws.securityGroups | default (ternary (list "sg-0a1b2c3d") list .Values.sandbox.enabled) }}
- --security-group={{ . }}
{{- end }}
{{- if not .Values.aws.assignPublicIp }}
- --no-public-ip
{{- end }}
{{- with .Values.aws.taskRoleArn | default (ternary "arn:aws:iam::000000000000:role/kinesis-demo-task" "" .Values.sandbox.enabled) }}
- --task-role-arn={{ . }}
{{- end }}
{{- with .Values.aws.executionRoleArn | default (ternary "arn:aws:iam::000000000000:role/kinesis-demo-execution" "" .Values.sandbox.enabled) }}
- --execution-role-arn={{ . }}
{{- end }}
- --generator-image={{ include "kinesis-demo-operator.image" (dict "root" . "image" .Values.generator.image) }}
{{- range .Values.allowed.images }}
- --allow-image={{ . }}
{{- end }}
{{- range .Values.allowed.subnets }}
- --allow-subnet={{ . }}
{{- end }}
{{- range .Values.allowed.securityGroups }}
- --allow-security-group={{ . }}
{{- end }}
- --max-runs={{ .Values.limits.runs | int64 }}
- --max-records-per-second={{ .Values.limits.recordsPerSecond | int64 }}
- --max-tasks={{ .Values.limits.tasks | int64 }}
- --max-warm-mib-per-second={{ .Values.limits.warmMibPerSecond | int64 }}
- --keep-runs={{ .Values.runs.keep | int64 }}
- --keep-runs-for={{ .Values.runs.keepFor }}
- --concurrency={{ .Values.concurrency | int64 }}
- --log-format={{ .Values.log.format }}
- --log={{ .Values.log.filter }}
{{- if .Values.sandbox.enabled }}
- --local-timings
{{- end }}
{{- end -}}

{{- define "kinesis-demo-operator.environment" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: AWS_REGION
  value: {{ first .Values.aws.regions }}
{{- if .Values.sandbox.enabled }}
- name: AWS_ENDPOINT_URL
  value: {{ include "kinesis-demo-operator.sandboxUrl" . }}
# The sandbox's key; and no credentials of the node from instance metadata.
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ include "kinesis-demo-operator.sandboxSecret" $ }}, key: {{ . }}}}
{{- end }}
- name: AWS_EC2_METADATA_DISABLED
  value: "true"
{{- end }}
{{- end -}}

{{/* The operator's permissions for KinesisDemo objects and the records of their runs: exactly the rules of deploy/operator-role.yaml; a test compares them. */}}
{{- define "kinesis-demo-operator.rules" -}}
# Patch: for the finalizer; the operator never changes the spec. Users create and delete objects.
- apiGroups: [kinesisdemo.io]
  resources: [kinesisdemos]
  verbs: [list, watch, patch]
- apiGroups: [kinesisdemo.io]
  resources: [kinesisdemos/status]
  verbs: [update]
# The records of runs: written, read to be continued, and deleted when they are old.
- apiGroups: [kinesisdemo.io]
  resources: [kinesisdemoruns]
  verbs: [get, list, create, delete]
- apiGroups: [kinesisdemo.io]
  resources: [kinesisdemoruns/status]
  verbs: [update]
# Patch: a repeated event increments its count instead of creating a new one.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* The drain's permissions: list objects, and request aborts. */}}
{{- define "kinesis-demo-operator.drainRules" -}}
- apiGroups: [kinesisdemo.io]
  resources: [kinesisdemos]
  verbs: [list, patch]
{{- end -}}

{{/*
Roles and bindings for one ServiceAccount: a ClusterRole, or a Role in each watched namespace.
In: dict root, component, suffix, serviceAccount, rules (the name of a template).
*/}}
{{- define "kinesis-demo-operator.grant" -}}
{{- $root := .root -}}
{{- $clusterName := printf "%s%s" (include "kinesis-demo-operator.clusterName" $root) .suffix -}}
{{- $labels := include "kinesis-demo-operator.labels" (dict "root" $root "component" .component) -}}
{{- $scopes := $root.Values.watch.namespaces | default (list "") -}}
{{- $part := . -}}
{{- range $scopes }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "Role" "ClusterRole" (ne . "") }}
metadata:
  name: {{ $clusterName }}
  {{- with . }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- $labels | nindent 4 }}
rules:
  {{- include $part.rules $root | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "RoleBinding" "ClusterRoleBinding" (ne . "") }}
metadata:
  name: {{ $clusterName }}
  {{- with . }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- $labels | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ ternary "Role" "ClusterRole" (ne . "") }}
  name: {{ $clusterName }}
subjects:
  - kind: ServiceAccount
    name: {{ $part.serviceAccount }}
    namespace: {{ $root.Release.Namespace }}
{{- end }}
{{- end -}}
