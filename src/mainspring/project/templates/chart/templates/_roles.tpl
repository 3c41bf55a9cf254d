{{/*
Where a platform splits the requests (KServe, Seldon, Argo Rollouts), each pod answers for one version, named by its
file: v<version>.yaml in the ConfigMap <name>-release. While a canary or an A/B test runs both versions still score
every row, so that quality is judged in pairs: the champion's pods ask the challenger as a shadow, the challenger's pods
answer by it alone. A shadow or a bandit needs no split: the server in the champion's pods does it, as everywhere.
Seldon mirrors a shadow itself. Routing by key is lost: a platform splits requests, not askers.
*/}}

{{/* "yes" while the platform splits requests between two versions. */}}
{{- define "mainspring.split" -}}
{{- with .Values.challenger }}{{ if has (.mode | default "canary") (list "canary" "ab") }}yes{{ end }}{{ end -}}
{{- end -}}

{{/* "yes" while Seldon sends a copy of each request to the challenger's pods. */}}
{{- define "mainspring.mirrored" -}}
{{- if eq .Values.platform "seldon" }}{{ with .Values.challenger }}{{ if eq (.mode | default "canary") "shadow" }}yes{{ end }}{{ end }}{{ end -}}
{{- end -}}

{{/* The short name of a champion or a challenger: v7. */}}
{{- define "mainspring.version" -}}
{{- printf "v%d" (int64 .version) -}}
{{- end -}}

{{/* The file that a version's pods follow. */}}
{{- define "mainspring.file" -}}
{{- include "mainspring.version" . }}.yaml
{{- end -}}

{{/* These files, as further keys of the ConfigMap. */}}
{{- define "mainspring.roleFiles" -}}
{{- $split := include "mainspring.split" . -}}
{{- $mirrored := include "mainspring.mirrored" . -}}
{{- $whole := include "mainspring.release" . | fromJson -}}
{{- $stable := $whole -}}
{{- if $split }}{{ $stable = merge (dict "challenger" (set (set (deepCopy .Values.challenger) "weight" 0) "mode" "shadow")) (omit $whole "challenger") }}{{ end -}}
{{- if $mirrored }}{{ $stable = omit $whole "challenger" }}{{ end -}}
{{ include "mainspring.file" .Values.champion }}: | {{- $stable | toPrettyJson | nindent 2 }}
{{- if or $split $mirrored }}
{{- $tried := merge (dict "challenger" (set (set (deepCopy .Values.challenger) "weight" 100) "mode" "canary")) (omit $whole "challenger") }}
{{ include "mainspring.file" .Values.challenger }}: | {{- $tried | toPrettyJson | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Seconds of a duration as release files write it: 500us, 50ms, 90s, 5m, 6h, 2d, 1w. */}}
{{- define "mainspring.seconds" -}}
{{- $units := dict "us" 0.000001 "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 "w" 604800.0 -}}
{{- $number := regexFind "^[0-9]+" . -}}
{{- mulf (float64 $number) (get $units (trimPrefix $number .)) -}}
{{- end -}}

{{/* A pod's spec but for its containers, as KServe's predictor embeds it; Knative takes fewer fields. */}}
{{- define "mainspring.aroundContainer" -}}
{{- $spec := omit (include "mainspring.podSpec" . | fromYaml) "containers" -}}
{{- if .root.Values.serverless }}{{ $spec = omit $spec "topologySpreadConstraints" "terminationGracePeriodSeconds" "priorityClassName" }}{{ end -}}
{{- toYaml $spec -}}
{{- end -}}

{{/* The Service that an Ingress or a route leads to: under Argo Rollouts the stable one, beside which it adds. */}}
{{- define "mainspring.entryService" -}}
{{- include "mainspring.name" . }}{{ if eq .Values.platform "rollouts" }}-stable{{ end }}
{{- end -}}
