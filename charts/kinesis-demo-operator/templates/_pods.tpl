{{/* The common parts of all Pods of the chart. In: values. Out: parts of a Pod's spec. */}}

{{/* Whether this is OpenShift, which assigns users and groups itself: "true" or nothing. */}}
{{- define "kinesis-demo-operator.isOpenShift" -}}
{{- if or (eq .Values.openshift "enabled") (and (eq .Values.openshift "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) }}true{{ end -}}
{{- end -}}

{{/*
The restricted profile of the Pod Security Standards; 65532 is the images' user. OpenShift's restricted-v2 rejects users and groups
outside of the namespace's range.
*/}}
{{- define "kinesis-demo-operator.podSecurityContext" -}}
runAsNonRoot: true
{{- if not (include "kinesis-demo-operator.isOpenShift" .) }}
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Mounts that the user adds to every container, such as the certificates of a company's own authority. */}}
{{- define "kinesis-demo-operator.extraMounts" -}}
{{- with .Values.extraVolumeMounts }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The volumes that the user adds to every Pod. */}}
{{- define "kinesis-demo-operator.extraVolumes" -}}
{{- with .Values.extraVolumes }}
volumes:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "kinesis-demo-operator.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Where Pods may run, and how their images are pulled. */}}
{{- define "kinesis-demo-operator.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "kinesis-demo-operator.apiServerEgress" -}}
# The Kubernetes API server.
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - {port: {{ . | int64 }}, protocol: TCP}
    {{- end }}
  to:
    {{- range .Values.networkPolicy.apiServerCidrs }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
{{- end -}}
