{{/* Names and labels. In: values and release. Out: text. */}}

{{- define "kinesis-demo-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 50 characters, so that a suffix still fits a name of 63. */}}
{{- define "kinesis-demo-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- if not (hasKey . "kinesisDemoOperatorName") -}}
{{- $_ := set . "kinesisDemoOperatorName" (include "kinesis-demo-operator.releaseName" .) -}}
{{- end -}}
{{- .kinesisDemoOperatorName -}}
{{- end -}}
{{- end -}}

{{/*
The name from release and chart, looked up once per rendering. An earlier chart repeated words in names; if its Deployment exists, an upgrade
keeps that name. Without a cluster (helm template) nothing is found.
*/}}
{{- define "kinesis-demo-operator.releaseName" -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- $name := include "kinesis-demo-operator.joined" (list .Release.Name $chart) | trunc 50 | trimSuffix "-" -}}
{{- $earlier := printf "%s-%s" .Release.Name $chart | trunc 50 | trimSuffix "-" -}}
{{- if and .Release.IsUpgrade (ne $name $earlier) -}}
{{- $owner := dict "root" . "apiVersion" "apps/v1" "kind" "Deployment" "namespace" .Release.Namespace "name" $earlier -}}
{{- if and (lookup "apps/v1" "Deployment" .Release.Namespace $earlier) (not (include "kinesis-demo-operator.otherOwner" $owner)) -}}
{{- $name = $earlier -}}
{{- end -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/*
Joins two names with a hyphen. Words at the end of the first and the beginning of the second appear once: kinesis-demo and
kinesis-demo-operator give kinesis-demo-operator. In: list of both.
*/}}
{{- define "kinesis-demo-operator.joined" -}}
{{- $first := index . 0 -}}
{{- $second := index . 1 -}}
{{- if contains $second $first -}}
{{- $first -}}
{{- else -}}
{{- $words := splitList "-" $second -}}
{{- $shared := 0 -}}
{{- range $count := until (len $words) -}}
{{- $beginning := slice $words 0 (add $count 1 | int) | join "-" -}}
{{- if or (eq $first $beginning) (hasSuffix (printf "-%s" $beginning) $first) -}}
{{- $shared = add $count 1 | int -}}
{{- end -}}
{{- end -}}
{{- prepend (slice $words $shared) $first | join "-" -}}
{{- end -}}
{{- end -}}

{{/* The name of cluster-scoped objects: it must differ for two releases of the same name in two namespaces. */}}
{{- define "kinesis-demo-operator.clusterName" -}}
{{- $name := include "kinesis-demo-operator.fullname" . -}}
{{- ternary $name (printf "%s-%s" $name .Release.Namespace) (eq $name .Release.Namespace) -}}
{{- end -}}

{{- define "kinesis-demo-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "kinesis-demo-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The selector labels of Pods; they never change. In: dict root, component. */}}
{{- define "kinesis-demo-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "kinesis-demo-operator.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* All labels. In: dict root, component; more: the user's labels, which do not replace ours. */}}
{{- define "kinesis-demo-operator.labels" -}}
{{- $selector := include "kinesis-demo-operator.selectorLabels" . | fromYaml -}}
{{- $ours := dict
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/part-of" "kinesis-demo"
  "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- merge $selector $ours (.more | default dict) | toYaml -}}
{{- end -}}

{{/* An image reference. In: dict root, image. */}}
{{- define "kinesis-demo-operator.image" -}}
{{- $registry := default .root.Values.image.registry .image.registry -}}
{{- if $registry }}{{ $registry }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default .root.Chart.AppVersion .image.tag }}{{ end -}}
{{- end -}}

{{- define "kinesis-demo-operator.sandboxUrl" -}}
http://{{ include "kinesis-demo-operator.fullname" . }}-sandbox.{{ .Release.Namespace }}.svc:4566
{{- end -}}

{{/* The Secret with the sandbox's access key id. The sandbox writes the key; no manifest contains it. */}}
{{- define "kinesis-demo-operator.sandboxSecret" -}}
{{ include "kinesis-demo-operator.fullname" . }}-sandbox
{{- end -}}

{{/* Whether all accounts are the sandbox's: "true" or nothing. */}}
{{- define "kinesis-demo-operator.onlySandboxAccount" -}}
{{- if eq (without .Values.aws.accounts "000000000000" | len) 0 }}true{{ end -}}
{{- end -}}

{{/* A duration from the values (`10m`), in seconds. */}}
{{- define "kinesis-demo-operator.seconds" -}}
{{- $unit := trunc -1 . -}}
{{- mul (trimSuffix $unit . | int64) (get (dict "s" 1 "m" 60 "h" 3600) $unit) -}}
{{- end -}}

{{/*
The labels of an alert. In: dict severity; namespace: for an alert whose query has none; more: the user's labels, which may replace these.
*/}}
{{- define "kinesis-demo-operator.alertLabels" -}}
{{- $ours := dict "severity" .severity -}}
{{- with .namespace }}{{ $_ := set $ours "namespace" . }}{{ end -}}
{{- merge (dict) .more $ours | toYaml -}}
{{- end -}}
