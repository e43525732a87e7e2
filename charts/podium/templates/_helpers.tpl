{{/* Name of the operator's objects: `podium-operator` in a release called `podium`. */}}
{{- define "podium.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := .Values.nameOverride | default "operator" -}}
{{- if hasSuffix $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" (.Release.Name | trunc (int (sub 62 (len $name))) | trimSuffix "-") $name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that select the operator's pod: fixed for life, a Deployment's selector is immutable. */}}
{{- define "podium.selector" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default "podium-operator" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of every object; the chart's own win over the user's. */}}
{{- define "podium.labels" -}}
{{- $own := include "podium.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "podium" -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- merge $own (.Values.commonLabels | default dict) | toYaml -}}
{{- end -}}

{{- define "podium.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "podium.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name must name an existing ServiceAccount where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* A whole image: (list context repository tag digest). A digest stands in place of the tag, and global.imageRegistry
in place of the registry, which is what precedes the first slash where it has a dot or a port, or is localhost. */}}
{{- define "podium.reference" -}}
{{- $context := index . 0 -}}
{{- $repository := index . 1 -}}
{{- with ($context.Values.global).imageRegistry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "") -}}
{{- end -}}
{{- if index . 3 -}}
{{ $repository }}@{{ index . 3 }}
{{- else -}}
{{ $repository }}:{{ index . 2 }}
{{- end -}}
{{- end -}}

{{- define "podium.image" -}}
{{- with .Values.image -}}
{{- include "podium.reference" (list $ .repository (.tag | default $.Chart.AppVersion) .digest) -}}
{{- end -}}
{{- end -}}

{{- define "podium.rerankerImage" -}}
{{- with .Values.rerankerImage -}}
{{- include "podium.reference" (list $ .repository (.tag | default (printf "%s-cpu" $.Chart.AppVersion)) .digest) -}}
{{- end -}}
{{- end -}}

{{- define "podium.rerankerGpuImage" -}}
{{- $repository := .Values.rerankerImage.gpu.repository | default .Values.rerankerImage.repository -}}
{{- with .Values.rerankerImage.gpu -}}
{{- include "podium.reference" (list $ $repository (.tag | default $.Chart.AppVersion) .digest) -}}
{{- end -}}
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
