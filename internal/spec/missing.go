package spec

import (
	"reflect"
	"strings"

	"shiplog/events"
)

// notBuilt lists the fields of App Platform's spec that Shiplog does not have yet, with what to do instead. They are
// refused, never half accepted. When one is built, its line goes away and a field of events.Spec takes its place.
var notBuilt = map[reflect.Type]map[string]string{
	reflect.TypeFor[events.Spec](): {
		"jobs": "", "static_sites": "", "databases": "", "functions": "", "alerts": "", "egress": "", "maintenance": "",
		"vpc": "", "volumes": "",
		"domains":                         "an app answers at its name under the ingress's domain",
		"ingress":                         "give routes on the services instead",
		"disable_edge_cache":              "there is no edge cache in front of an app",
		"disable_email_obfuscation":       "answers are never rewritten",
		"enhanced_threat_control_enabled": "",
	},
	reflect.TypeFor[events.Component](): {
		"build_command": "builds need a Dockerfile: put the command there",
		"autoscaling":   "give instance_count instead",
		"protocol":      "services speak HTTP/1.1",
		"cors":          "", "internal_ports": "", "alerts": "", "log_destinations": "", "inactivity_sleep": "",
		"liveness_health_check": "", "volumes": "", "kind": "", "schedule": "", "timeout": "",
		"output_dir": "", "index_document": "", "error_document": "", "catchall_document": "",
	},
	reflect.TypeFor[events.ImageSource](): {
		"registry_credentials": "",
		"deploy_on_push":       "deploy with a digest or a tag instead",
	},
}

// plurals are the field names that take "are".
const plurals = " jobs static_sites databases functions domains alerts volumes internal_ports log_destinations registry_credentials "

// missing says why a field that no struct has is refused, or "" when its value is the same as leaving it out.
func missing(t reflect.Type, name string, value *node) string {
	hint, known := notBuilt[t][name]
	if !known {
		return "there is no such field here"
	}
	if value.empty() || name == "protocol" && value.value == "HTTP" {
		return ""
	}
	verb := " is"
	if strings.Contains(plurals, " "+name+" ") {
		verb = " are"
	}
	why := name + verb + " not built yet"
	if hint != "" {
		why += ": " + hint
	}
	return why
}
