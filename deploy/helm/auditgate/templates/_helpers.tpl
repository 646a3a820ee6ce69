{{- define "auditgate.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "auditgate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "auditgate.labels" -}}
{{ include "auditgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{/* The servers of a shared log, by commas. */}}
{{- define "auditgate.servers" -}}
{{- if .Values.shared.servers }}{{ join "," .Values.shared.servers }}{{ else }}
{{- $name := include "auditgate.name" . }}
{{- $servers := list }}
{{- range $number := until (int .Values.nats.replicas) }}
{{- $servers = append $servers (printf "nats://%s-nats-%d.%s-nats:4222" $name $number $name) }}
{{- end }}
{{- join "," $servers }}
{{- end }}
{{- end }}

{{/* Where the servers of the chart tell about themselves. */}}
{{- define "auditgate.monitors" -}}
{{- $name := include "auditgate.name" . }}
{{- $monitors := list }}
{{- range $number := until (int .Values.nats.replicas) }}
{{- $monitors = append $monitors (printf "http://%s-nats-%d.%s-nats:8222" $name $number $name) }}
{{- end }}
{{- join "," $monitors }}
{{- end }}

{{- define "auditgate.natsSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-nats
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "auditgate.natsLabels" -}}
{{ include "auditgate.natsSelector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{/* Apart, over zones and nodes, as far as there are several. */}}
{{- define "auditgate.spread" -}}
{{- $selector := . }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- $selector | nindent 6 }}
{{- end }}
{{- end }}

{{/* The names of the Service, which clients in the cluster use, of the pods if there are several, then those of
values.hosts. */}}
{{- define "auditgate.hosts" -}}
{{- $name := include "auditgate.name" . -}}
{{- $own := list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.cluster.local" $name .Release.Namespace) "localhost" -}}
{{- if .Values.shared.enabled }}
{{- range $number := until (int .Values.shared.replicas) }}
{{- $pod := printf "%s-%d.%s-pods" $name $number $name }}
{{- $own = concat $own (list $pod (printf "%s.%s.svc.cluster.local" $pod $.Release.Namespace)) }}
{{- end }}
{{- end -}}
{{- concat $own .Values.hosts | toJson -}}
{{- end }}
