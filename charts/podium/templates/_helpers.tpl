{{/* Name of the operator's objects: `podium-operator` in a release called `podium`. */}}
{{- define "podium.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if hasSuffix "operator" .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-operator" (.Release.Name | trunc 54 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* Labels that select the operator's pod: fixed for life, a Deployment's selector is immutable. */}}
{{- define "podium.selector" -}}
app.kubernetes.io/name: podium-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of every object; the chart's own win over the user's. */}}
{{- define "podium.labels" -}}
{{- $own := include "podium.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "podium" -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- merge $own .Values.commonLabels | toYaml -}}
{{- end -}}

{{- define "podium.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "podium.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name must name an existing ServiceAccount where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "podium.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "podium.rerankerImage" -}}
{{ .Values.rerankerImage.repository }}:{{ .Values.rerankerImage.tag | default (printf "%s-cpu" .Chart.AppVersion) }}
{{- end -}}

{{- define "podium.rerankerGpuImage" -}}
{{ .Values.rerankerImage.gpu.repository | default .Values.rerankerImage.repository }}:{{ .Values.rerankerImage.gpu.tag | default .Chart.AppVersion }}
{{- end -}}

{{/*
What the operator does, and no more: the tests compare it with the API server's audit log. No Secret, no wildcard.
Server-side apply of a new object takes `create` besides `patch`.
*/}}
{{- define "podium.rules" -}}
- apiGroups: [podium.sh]
  resources: [rerankers]
  verbs: [list, watch]
- apiGroups: [podium.sh]
  resources: [rerankers/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, list, patch, watch]
- apiGroups: [""]
  resources: [persistentvolumeclaims, serviceaccounts, services]
  verbs: [create, delete, list, patch, watch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [create, delete, list, patch, watch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, delete, list, patch, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, delete, list, patch, watch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, delete, list, patch, watch]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [create, delete, list, patch, watch]
{{- if .Values.addons.keda }}
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [create, delete, list, patch, watch]
{{- end }}
{{- if .Values.addons.serviceMonitors }}
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors]
  verbs: [create, delete, list, patch, watch]
{{- end }}
{{- end -}}
