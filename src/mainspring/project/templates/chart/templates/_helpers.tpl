{{/* Words that every platform's template shares. A text from values is written as JSON, which every YAML reads alike. */}}

{{- define "mainspring.name" -}}
{{- .Values.project.name | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels by which pods of the server are found; they never change, for selectors may not. */}}
{{- define "mainspring.selector" -}}
app.kubernetes.io/name: {{ include "mainspring.name" . | toJson }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "mainspring.labels" -}}
{{ include "mainspring.selector" . }}
app.kubernetes.io/part-of: {{ include "mainspring.name" . | toJson }}
app.kubernetes.io/managed-by: {{ .Release.Service | toJson }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | toJson }}
{{- end -}}

{{- define "mainspring.metadata" -}}
namespace: {{ .Release.Namespace | toJson }}
labels: {{- include "mainspring.labels" . | nindent 2 }}
{{- end -}}

{{/* "yes" when something can serve: an image is named and a version was released. */}}
{{- define "mainspring.serves" -}}
{{- if and .Values.image .Values.champion }}yes{{ end -}}
{{- end -}}

{{/* The release as the server reads it. Values hold it whole, because release.yaml is a values file. */}}
{{- define "mainspring.release" -}}
{{- if ne .Values.model (.Values.project.model | default .Values.model) -}}
{{- fail (printf "release.yaml is of the model %s, this chart serves %s" .Values.model .Values.project.model) -}}
{{- end -}}
{{- $release := dict "schema" .Values.schema "model" .Values.model "champion" .Values.champion -}}
{{- with .Values.challenger }}{{ $_ := set $release "challenger" . }}{{ end -}}
{{- with .Values.plan }}{{ $_ := set $release "plan" . }}{{ end -}}
{{- $release | toPrettyJson -}}
{{- end -}}

{{/* Pod settings of the Restricted profile. */}}
{{- define "mainspring.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "mainspring.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Restart pods when what is read only at start changes. The release is not: the server follows it. */}}
{{- define "mainspring.podAnnotations" -}}
checksum/serving: {{ .Values.serving | toJson | sha256sum | quote }}
kubectl.kubernetes.io/default-container: server
{{- range $key, $value := .Values.podAnnotations }}
{{ toJson $key }}: {{ toJson $value }}
{{- end }}
{{- end -}}

{{/* Seconds from the order to leave until a pod is killed: preStop, drain, and time to flush the log. */}}
{{- define "mainspring.grace" -}}
{{- add .Values.server.preStopSeconds .Values.server.drainSeconds 20 -}}
{{- end -}}

{{/*
The one container. Give it a dict: root, and optionally
  release: key of the ConfigMap <name>-release that this pod follows (release.yaml)
  name: of the container (server)
*/}}
{{- define "mainspring.container" -}}
{{- $root := .root -}}
{{- $name := include "mainspring.name" $root -}}
{{- $server := $root.Values.server -}}
name: {{ .name | default "server" }}
image: {{ $root.Values.image | toJson }}
imagePullPolicy: {{ $root.Values.imagePullPolicy }}
args:
  - serve
  - --env={{ $root.Values.project.environment }}
  - --host=0.0.0.0
  - --port=8080
  - --metrics-host=0.0.0.0
  - --metrics-port=9090
  - --metrics-token-file=/var/run/mainspring/scrape/token
  - --release-file=/etc/mainspring/{{ .release | default "release.yaml" }}
  - --trust=/var/run/mainspring/trust
  - --tokens=/var/run/mainspring/tokens/tokens.json
  - --serving-file=/var/run/mainspring/serving/serving.yaml
  - --drain={{ $server.drainSeconds }}
  {{- with $root.Values.stores.models }}
  - {{ printf "--models=%s" . | toJson }}
  {{- end }}
  {{- with $root.Values.stores.online }}
  - {{ printf "--online=%s" . | toJson }}
  {{- end }}
  {{- if gt (int $server.workers) 1 }}
  - --workers={{ $server.workers }}
  {{- end }}
  {{- if $server.grpc }}
  - --grpc-port=8081
  {{- end }}
  {{- if $server.cacheMb }}
  - --cache-mb={{ $server.cacheMb }}
  {{- end }}
  - --log-keep-mb={{ $server.logKeepMb }}
  {{- range $server.logSinks }}
  - {{ printf "--log-sink=%s" . | toJson }}
  {{- end }}
  {{- if $server.tlsSecret }}
  - --tls-cert=/var/run/mainspring/tls/tls.crt
  - --tls-key=/var/run/mainspring/tls/tls.key
  {{- end }}
  {{- range $server.extraArgs }}
  - {{ . | toJson }}
  {{- end }}
ports:
  - {name: http, containerPort: 8080, protocol: TCP}
  - {name: metrics, containerPort: 9090, protocol: TCP}
  {{- if $server.grpc }}
  - {name: grpc, containerPort: 8081, protocol: TCP}
  {{- end }}
{{- if or $root.Values.stores.env $root.Values.stores.secretKeys }}
env:
  {{- range $key, $value := $root.Values.stores.env }}
  - {name: {{ $key | toJson }}, value: {{ $value | toJson }}}
  {{- end }}
  {{- range $root.Values.stores.secretKeys }}
  - name: {{ . | toJson }}
    valueFrom: {secretKeyRef: {name: {{ printf "%s-stores" $name | toJson }}, key: {{ . | toJson }}, optional: true}}
  {{- end }}
{{- end }}
startupProbe:
  httpGet: {path: /startupz, port: metrics}
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /v2/health/ready, port: http{{ if $server.tlsSecret }}, scheme: HTTPS{{ end }}}
  periodSeconds: 3
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /v2/health/live, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
lifecycle:
  preStop:
    exec: {command: [sleep, {{ $server.preStopSeconds | toString | toJson }}]}
resources: {{ toJson $root.Values.resources }}
securityContext: {{- include "mainspring.containerSecurity" $root | nindent 2 }}
volumeMounts:
  - {name: release, mountPath: /etc/mainspring, readOnly: true}
  - {name: trust, mountPath: /var/run/mainspring/trust, readOnly: true}
  - {name: serving, mountPath: /var/run/mainspring/serving, readOnly: true}
  {{- if not $root.Values.secrets.agent }}
  - {name: tokens, mountPath: /var/run/mainspring/tokens, readOnly: true}
  - {name: scrape, mountPath: /var/run/mainspring/scrape, readOnly: true}
  {{- end }}
  {{- if $server.tlsSecret }}
  - {name: tls, mountPath: /var/run/mainspring/tls, readOnly: true}
  {{- end }}
  - {name: state, mountPath: /srv/project}
  - {name: tmp, mountPath: /tmp}
{{- end -}}

{{/* The volumes that the container mounts. Whole ConfigMaps, never subPath: a mounted file must follow its object. */}}
{{- define "mainspring.volumes" -}}
{{- $name := include "mainspring.name" . -}}
- name: release
  configMap: {name: {{ printf "%s-release" $name | toJson }}}
- name: trust
  configMap: {name: {{ printf "%s-trust" $name | toJson }}}
- name: serving
  configMap: {name: {{ printf "%s-serving" $name | toJson }}}
{{- if .Values.secrets.agent }}
- name: vault-token
  projected: {sources: [{serviceAccountToken: {path: token, audience: vault, expirationSeconds: 3600}}]}
{{- else }}
- name: tokens
  secret: {secretName: {{ printf "%s-tokens" $name | toJson }}, defaultMode: 288}
- name: scrape
  secret: {secretName: {{ printf "%s-scrape" $name | toJson }}, defaultMode: 288}
{{- end }}
{{- with .Values.server.tlsSecret }}
- name: tls
  secret: {secretName: {{ toJson . }}, defaultMode: 288}
{{- end }}
- name: state
  emptyDir: {sizeLimit: {{ .Values.state.sizeLimit | toJson }}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- end -}}

{{/* Which nodes a pod runs on, and by whose credentials its image is pulled; each line begins with its break. */}}
{{- define "mainspring.placement" -}}
{{- range list "imagePullSecrets" "priorityClassName" "nodeSelector" "tolerations" }}
{{- $key := . }}
{{- with get $.Values . }}
{{ $key }}: {{ toJson . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The Service's port of predictions. */}}
{{- define "mainspring.port" -}}
{name: http, port: 8080, targetPort: http, protocol: TCP{{ if .Values.server.tlsSecret }}, appProtocol: https{{ end }}}
{{- end -}}

{{- define "mainspring.scheme" -}}http{{ if .Values.server.tlsSecret }}s{{ end }}{{- end -}}

{{/* A pod's spec around one container; give it the same dict as the container. */}}
{{- define "mainspring.podSpec" -}}
{{- $root := .root -}}
serviceAccountName: {{ include "mainspring.name" $root | toJson }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "mainspring.grace" $root }}
securityContext: {{- include "mainspring.podSecurity" $root | nindent 2 }}
{{- include "mainspring.placement" $root }}
topologySpreadConstraints:
  {{- include "mainspring.spread" $root | trim | nindent 2 }}
containers:
  - {{- include "mainspring.container" . | nindent 4 }}
volumes: {{- include "mainspring.volumes" $root | nindent 2 }}
{{- end -}}

{{/* Spread over zones and nodes, as far as there are several. */}}
{{- define "mainspring.spread" -}}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "mainspring.selector" $ | nindent 6 }}
{{- end }}
{{- end -}}
