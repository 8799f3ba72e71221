// Package gitops evaluates objects of a real operator as GitOps tools do: Argo CD with the Lua script of
// docs/gitops/argocd-cm.yaml, Flux with the CEL expressions of docs/gitops/flux-kustomization.yaml, kstatus
// with its own rules. In: objects/, recorded from runs on a local cluster, and expected.yaml. Has no side
// effects.
package gitops

import (
	"context"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	upstream "sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

const (
	argoFile = "../../docs/gitops/argocd-cm.yaml"
	argoKey  = "resource.customizations.health.kinesisdemo.io_KinesisDemo"
	fluxFile = "../../docs/gitops/flux-kustomization.yaml"
	noAnswer = "no answer"
)

// The expected result of each tool for an object. `says` is a part of Argo CD's message.
type expectation struct {
	Argo    string `json:"argo"`
	Says    string `json:"says"`
	Flux    string `json:"flux"`
	Kstatus string `json:"kstatus"`
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func object(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("objects", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	// Integers are int64, as from the API server.
	seen := &unstructured.Unstructured{}
	if err := seen.UnmarshalJSON(asJSON); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return seen
}

func TestEveryToolReturnsTheExpectedHealth(t *testing.T) {
	var expected map[string]expectation
	read(t, "expected.yaml", &expected)
	files, err := filepath.Glob("objects/*.yaml")
	if err != nil || len(files) != len(expected) {
		t.Fatalf("%d objects, %d expectations (%v)", len(files), len(expected), err)
	}
	names := make([]string, 0, len(expected))
	for name := range expected {
		names = append(names, name)
	}
	sort.Strings(names)
	script, flux := argoScript(t), fluxExpressions(t)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			seen, want := object(t, name), expected[name]
			health, message := argoHealth(t, script, seen)
			if health != want.Argo || !strings.Contains(message, want.Says) || want.Says == "" {
				t.Errorf("Argo CD: %s, %q; want %s, with %q in the message", health, message, want.Argo, want.Says)
			}
			if got := fluxStatus(flux, seen); got != want.Flux {
				t.Errorf("Flux: %s, want %s", got, want.Flux)
			}
			// The original kstatus, and Flux's fork of it.
			original, err := upstream.Compute(seen)
			if err != nil {
				t.Fatal(err)
			}
			copied, err := status.Compute(seen)
			if err != nil {
				t.Fatal(err)
			}
			if original.Status.String() != want.Kstatus || copied.Status.String() != want.Kstatus {
				t.Errorf("kstatus: %s (%s), Flux's copy %s; want %s", original.Status, original.Message, copied.Status, want.Kstatus)
			}
		})
	}
}

func argoScript(t *testing.T) string {
	t.Helper()
	var config struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Metadata   map[string]any    `json:"metadata"`
		Data       map[string]string `json:"data"`
	}
	read(t, argoFile, &config)
	script, ok := config.Data[argoKey]
	if !ok || len(config.Data) != 1 {
		t.Fatalf("%s must have the key %s and no other", argoFile, argoKey)
	}
	return script
}

// Runs the script as Argo CD does: gopher-lua with only the base and table libraries, a limit of one second,
// the object in the global obj.
func argoHealth(t *testing.T, script string, seen *unstructured.Unstructured) (string, string) {
	t.Helper()
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			t.Fatal(err)
		}
	}
	within, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(within)
	state.SetGlobal("obj", luaValue(state, seen.Object))
	if err := state.DoString(script); err != nil {
		t.Fatal(err)
	}
	answer, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script returned %s instead of a table", state.Get(-1))
	}
	return lua.LVAsString(answer.RawGetString("status")), lua.LVAsString(answer.RawGetString("message"))
}

func luaValue(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(luaValue(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, luaValue(state, item))
		}
		return table
	}
	return lua.LNil
}

func fluxExpressions(t *testing.T) *cel.StatusEvaluator {
	t.Helper()
	var config struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Metadata   map[string]any `json:"metadata"`
		Spec       struct {
			Interval         string                        `json:"interval"`
			Path             string                        `json:"path"`
			Prune            bool                          `json:"prune"`
			SourceRef        map[string]string             `json:"sourceRef"`
			TargetNamespace  string                        `json:"targetNamespace"`
			Wait             bool                          `json:"wait"`
			Timeout          string                        `json:"timeout"`
			HealthCheckExprs []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
		} `json:"spec"`
	}
	read(t, fluxFile, &config)
	if len(config.Spec.HealthCheckExprs) != 1 || config.Spec.HealthCheckExprs[0].Kind != "KinesisDemo" || !config.Spec.Wait {
		t.Fatalf("%s: must have exactly one health check, for KinesisDemo, and wait: true", fluxFile)
	}
	evaluator, err := cel.NewStatusEvaluator(&config.Spec.HealthCheckExprs[0].HealthCheckExpressions)
	if err != nil {
		t.Fatal(err)
	}
	return evaluator
}

// The controller waits while there is an error: an object without a status has no fields for an expression.
func fluxStatus(evaluator *cel.StatusEvaluator, seen *unstructured.Unstructured) string {
	result, err := evaluator.Evaluate(context.Background(), seen)
	if err != nil {
		return noAnswer
	}
	return result.Status.String()
}

// Why docs/gitops.md recommends ServerSideDiff: a diff that does not know the schema's defaults finds a
// difference in the list of phases, which it can only compare as a whole.
func TestAClientSideDiffFindsDefaultsInLists(t *testing.T) {
	live := object(t, "aborted")
	applied := []byte(live.GetAnnotations()["kubectl.kubernetes.io/last-applied-configuration"])
	current, err := live.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(applied, applied, current)
	if err != nil {
		t.Fatal(err)
	}
	var difference struct {
		Spec map[string]any `json:"spec"`
	}
	if err := yaml.Unmarshal(patch, &difference); err != nil {
		t.Fatal(err)
	}
	if _, ok := difference.Spec["phases"]; !ok || len(difference.Spec) != 1 {
		t.Errorf("the difference is %s", patch)
	}
}
