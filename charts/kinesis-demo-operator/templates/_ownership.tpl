{{/*
Objects that may exist already: the CustomResourceDefinitions, which stay after an uninstall, and the Lease, which an operator creates if it is
missing. Helm rejects an install that would overwrite another release's object, so such objects are left out of the manifest. Without a cluster
(helm template, lint) nothing is found, and everything is rendered.
*/}}

{{/* The other owner of an object, to complete a sentence; or nothing. In: dict root, apiVersion, kind, namespace, name. */}}
{{- define "kinesis-demo-operator.otherOwner" -}}
{{- $found := lookup .apiVersion .kind .namespace .name -}}
{{- if $found -}}
{{- $annotations := $found.metadata.annotations | default dict -}}
{{- $release := get $annotations "meta.helm.sh/release-name" -}}
{{- $namespace := get $annotations "meta.helm.sh/release-namespace" -}}
{{- if not $release -}}
no Helm release
{{- else if or (ne $release .root.Release.Name) (ne $namespace .root.Release.Namespace) -}}
release {{ $release }} in namespace {{ $namespace }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The names of the CustomResourceDefinitions. */}}
{{- define "kinesis-demo-operator.crdNames" -}}
kinesisdemos.kinesisdemo.io kinesisdemoruns.kinesisdemo.io
{{- end -}}

{{/* The other owner of a CustomResourceDefinition. In: dict root, name. */}}
{{- define "kinesis-demo-operator.crdOtherOwner" -}}
{{- include "kinesis-demo-operator.otherOwner" (dict "root" .root "apiVersion" "apiextensions.k8s.io/v1" "kind" "CustomResourceDefinition" "namespace" "" "name" .name) -}}
{{- end -}}

{{/* Identifies a version of a CustomResourceDefinition. In: dict root, name. */}}
{{- define "kinesis-demo-operator.crdDigest" -}}
{{- .root.Files.Get (printf "files/%s.yaml" .name) | sha256sum -}}
{{- end -}}
