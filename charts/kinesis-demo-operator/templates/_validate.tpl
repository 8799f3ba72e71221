{{/* Checks that a schema cannot express: values that contradict each other. In: values. Out: nothing, or a failure with one sentence for each. */}}
{{- define "kinesis-demo-operator.validate" -}}
{{- $wrong := list -}}
{{- $real := not (include "kinesis-demo-operator.onlySandboxAccount" .) -}}
{{- if and .Values.sandbox.enabled $real -}}
{{- $wrong = append $wrong (printf "sandbox.enabled: the sandbox is account 000000000000 only, but aws.accounts names %s. Use one or the other." (join ", " (without .Values.aws.accounts "000000000000"))) -}}
{{- end -}}
{{- if and $real (not .Values.generator.image.registry) (not .Values.image.registry) -}}
{{- $wrong = append $wrong "image.registry: aws.accounts names a real account, and Fargate pulls the generator's image from a registry. Name it in image.registry or generator.image.registry." -}}
{{- end -}}
{{- if and .Values.crds.adopt (not .Values.crds.install) -}}
{{- $wrong = append $wrong "crds.adopt: there is nothing to adopt while crds.install is false. Remove crds.adopt, or set crds.install=true." -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- $wrong = append $wrong "serviceAccount.name: required with serviceAccount.create=false. Set it to the name of an existing ServiceAccount." -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) .Values.serviceAccount.annotations -}}
{{- $wrong = append $wrong "serviceAccount.annotations: they have no effect with serviceAccount.create=false. Annotate the existing ServiceAccount instead." -}}
{{- end -}}
{{- range include "kinesis-demo-operator.limits" . | fromYamlArray }}{{ $wrong = append $wrong . }}{{ end -}}
{{- if and .Values.networkPolicy.enabled (not .Values.sandbox.enabled) -}}
{{- range concat .Values.commonEnv .Values.extraEnv -}}
{{- if has .name (list "HTTPS_PROXY" "https_proxy") -}}
{{- $port := regexFind ":[0-9]+/?$" (.value | default "") | trimPrefix ":" | trimSuffix "/" -}}
{{- $ports := list }}{{ range $.Values.networkPolicy.proxyPorts }}{{ $ports = append $ports (. | int64 | toString) }}{{ end -}}
{{- if not $.Values.networkPolicy.proxyTo -}}
{{- $wrong = append $wrong (printf "networkPolicy.proxyTo: %s is set, but the NetworkPolicy allows no proxy. Set the proxy's peers there, and its ports in networkPolicy.proxyPorts." .name) -}}
{{- else if and $port (not (has $port $ports)) -}}
{{- $wrong = append $wrong (printf "networkPolicy.proxyPorts: %s names port %s, but the NetworkPolicy allows only %s. Add the port." .name $port (join ", " $ports)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $ours := list -}}
{{- range include "kinesis-demo-operator.environment" . | fromYamlArray }}{{ $ours = append $ours .name }}{{ end -}}
{{- $sandboxes := ternary (list "POD_UID") list .Values.sandbox.enabled -}}
{{- $seen := dict -}}
{{- range $value := list "commonEnv" "extraEnv" -}}
{{- range get $.Values $value -}}
{{- if or (has .name $ours) (and (eq $value "commonEnv") (has .name $sandboxes)) -}}
{{- $wrong = append $wrong (printf "%s: %s is set by the chart. Remove it, and use the chart's values instead." $value .name) -}}
{{- else if eq (get $seen .name) $value -}}
{{- $wrong = append $wrong (printf "%s: %s is set twice. Remove one." $value .name) -}}
{{- else if hasKey $seen .name -}}
{{- $wrong = append $wrong (printf "%s: %s is also in commonEnv. Remove one." $value .name) -}}
{{- end -}}
{{- $_ := set $seen .name $value -}}
{{- end -}}
{{- end -}}
{{- $volumes := list -}}
{{- range .Values.extraVolumes -}}
{{- if has .name $volumes }}{{ $wrong = append $wrong (printf "extraVolumes: %s is defined twice. Remove one." .name) }}{{ end -}}
{{- $volumes = append $volumes .name -}}
{{- end -}}
{{- range .Values.extraVolumeMounts -}}
{{- if not (has .name $volumes) }}{{ $wrong = append $wrong (printf "extraVolumeMounts: extraVolumes has no volume %s. Add it." .name) }}{{ end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\n%s\n" (join "\n" $wrong)) -}}
{{- end -}}
{{- end -}}

{{/*
Limits that the operator rejects because they exceed AWS's own: computed as in src/reconcile/write_budget.rs; a test compares them.
In: values. Out: a list of sentences.
*/}}
{{- define "kinesis-demo-operator.limits" -}}
{{- $runs := .Values.limits.runs | int64 -}}
{{- $runsOfRegion := ternary 10 15 .Values.sandbox.enabled -}}
{{- $room := mul $runsOfRegion (len .Values.aws.regions) -}}
{{- if gt $runs $room }}
- {{ printf "limits.runs: %d exceeds AWS's limit: control parameters may be written 3 times a second in a Region, which leaves room for %d runs in each of aws.regions, %d in all. Lower it to %d." $runs $runsOfRegion $room $room | quote }}
{{- end }}
{{- end -}}
