{{/*
Objects that may be there already: the CustomResourceDefinition, which outlives its release, and the Lease, which an operator makes
where there is none. Helm refuses an install that would write over what another release owns; leaving them out of the
manifest lets the install go on. Without a cluster (helm template, lint) nothing is found, and all is rendered.
*/}}

{{/* Who else owns an object: a sentence's end, or nothing. In: dict root, apiVersion, kind, namespace, name. */}}
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

{{- define "kinesis-demo-operator.crdOtherOwner" -}}
{{- include "kinesis-demo-operator.otherOwner" (dict "root" . "apiVersion" "apiextensions.k8s.io/v1" "kind" "CustomResourceDefinition" "namespace" "" "name" "kinesisdemos.kinesisdemo.io") -}}
{{- end -}}

{{/* Tells one version of the definition from another. */}}
{{- define "kinesis-demo-operator.crdDigest" -}}
{{- .Files.Get "files/kinesisdemos.kinesisdemo.io.yaml" | sha256sum -}}
{{- end -}}
