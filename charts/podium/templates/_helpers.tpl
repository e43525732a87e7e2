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

{{/* What the operator may do: files/rules.yaml without the add-ons that are off. */}}
{{- define "podium.rules" -}}
{{- $off := list -}}
{{- if not .Values.addons.keda }}{{ $off = append $off "keda.sh" }}{{ end -}}
{{- if not .Values.addons.serviceMonitors }}{{ $off = append $off "monitoring.coreos.com" }}{{ end -}}
{{- $rules := list -}}
{{- range (.Files.Get "files/rules.yaml" | fromYaml).rules -}}
{{- if not (has (first .apiGroups) $off) }}{{ $rules = append $rules . }}{{ end -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end -}}
