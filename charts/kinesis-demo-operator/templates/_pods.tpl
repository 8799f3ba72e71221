{{/* What all Pods of the chart have in common. In: values. Out: parts of a Pod's spec. */}}

{{/* The restricted profile of the Pod Security Standards; 65532 is the images' user. */}}
{{- define "kinesis-demo-operator.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
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
