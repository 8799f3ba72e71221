{{/* What all Pods of the chart have in common. In: values. Out: parts of a Pod's spec. */}}

{{/* Whether this is OpenShift, which chooses users and groups itself: "true" or nothing. */}}
{{- define "kinesis-demo-operator.isOpenShift" -}}
{{- if or (eq .Values.openshift "enabled") (and (eq .Values.openshift "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) }}true{{ end -}}
{{- end -}}

{{/*
The restricted profile of the Pod Security Standards; 65532 is the images' user. OpenShift's restricted-v2 refuses users and groups that are
not of the namespace's own range.
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

{{/* What the user adds to every container, such as the certificates of a company's own authority, and where they are. */}}
{{- define "kinesis-demo-operator.extraMounts" -}}
{{- with .Values.extraVolumeMounts }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The same of a Pod. */}}
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
