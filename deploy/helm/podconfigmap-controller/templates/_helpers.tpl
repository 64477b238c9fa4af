{{- define "pcmc.name" -}}
app.kubernetes.io/name: podconfigmap-controller
{{- end }}

{{- define "pcmc.labels" -}}
app.kubernetes.io/name: podconfigmap-controller
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- define "pcmc.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "pcmc.pullPolicy" -}}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end }}

{{- /* Of a Pod that may be refused: what two values say together. */ -}}
{{- define "pcmc.check" -}}
{{- if and (not .Values.clusterResources) (not .Values.watchNamespaces) }}
{{- fail "clusterResources=false needs watchNamespaces: without them the controller works in all namespaces, which takes a ClusterRole" }}
{{- end }}
{{- if and (not .Values.clusterResources) .Values.agents.enabled }}
{{- fail "agents.enabled needs clusterResources: agents have a ClusterRole" }}
{{- end }}
{{- $policies := .Values.policies }}
{{- if and .Values.clusterResources (or $policies.enabled $policies.protectConfigMaps $policies.limitEbpfNamespaces) (semverCompare "<1.30.0-0" .Capabilities.KubeVersion.Version) }}
{{- fail "policies need Kubernetes 1.30: policies.enabled=false does without" }}
{{- end }}
{{- if and (not .Values.clusterResources) .Values.cleanup.enabled }}
{{- fail "cleanup.enabled needs clusterResources: without them there were no agents" }}
{{- end }}
{{- if and .Values.cleanup.enabled .Values.agents.enabled }}
{{- fail "cleanup.enabled needs agents.enabled=false: nothing is taken down while an agent runs" }}
{{- end }}
{{- if eq .Release.Namespace .Values.agents.namespace }}
{{- fail "agents.namespace must not be the controller's: Pods there are privileged" }}
{{- end }}
{{- end }}

{{- /* What the controller may do in the namespaces it serves: exactly the requests it makes. */ -}}
{{- define "pcmc.rules" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [podconfig.example.com]
  resources: [podconfigmapconfigs]
  verbs: [get, list, watch]
- apiGroups: [podconfig.example.com]
  resources: [podconfigmapconfigs/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- define "pcmc.fieldEnv" -}}
- name: {{ index . 0 }}
  valueFrom:
    fieldRef:
      fieldPath: {{ index . 1 }}
{{- end }}

{{- define "pcmc.probes" -}}
# A slow node may take its time to start it, and is not held against it.
startupProbe:
  httpGet:
    path: /healthz
    port: metrics
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: 90
livenessProbe:
  httpGet:
    path: /healthz
    port: metrics
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /readyz
    port: metrics
  periodSeconds: 5
  timeoutSeconds: 3
{{- end }}

{{- /* A number of a values file is a float here, and a large one would come out as 1e+06. */ -}}
{{- define "pcmc.env" -}}
{{- range $name, $value := . }}
- name: {{ $name | quote }}
{{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}
  value: {{ printf "%.0f" $value | quote }}
{{- else }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- end }}
