// Podsecurity checks the Pods of manifests against the restricted profile of the Pod Security Standards, with the code that
// Kubernetes' own admission uses.
//
// In: manifests on stdin. Out: a line for each Pod that violates the profile; exit code 1 if there is one, 2 if there is no Pod at all.
// Usage: podsecurity VERSION, for example v1.36
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// The common fields of a Pod and of workloads with a Pod template.
type manifest struct {
	Kind     string            `json:"kind"`
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		corev1.PodSpec `json:",inline"`
		Template       *corev1.PodTemplateSpec `json:"template"`
	} `json:"spec"`
}

func (m manifest) pod() (*metav1.ObjectMeta, *corev1.PodSpec) {
	switch {
	case m.Kind == "Pod":
		return &m.Metadata, &m.Spec.PodSpec
	case m.Spec.Template != nil:
		return &m.Spec.Template.ObjectMeta, &m.Spec.Template.Spec
	default:
		return nil, nil
	}
}

func run() (int, error) {
	if len(os.Args) != 2 {
		return 0, errors.New("usage: podsecurity VERSION < manifests")
	}
	version, err := api.ParseVersion(os.Args[1])
	if err != nil {
		return 0, err
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return 0, err
	}
	pods, refused := 0, 0
	documents := yaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			return 0, err
		}
		switch kind.Kind {
		case "Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job":
		default:
			continue
		}
		var found manifest
		if err := yaml.Unmarshal(document, &found); err != nil {
			return 0, fmt.Errorf("%s: %w", kind.Kind, err)
		}
		metadata, spec := found.pod()
		pods++
		level := api.LevelVersion{Level: api.LevelRestricted, Version: version}
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, metadata, spec))
		if !result.Allowed {
			refused++
			fmt.Printf("%s %s: %s\n", found.Kind, found.Metadata.Name, result.ForbiddenDetail())
		}
	}
	if pods == 0 {
		fmt.Println("no Pod in the manifests")
		return 2, nil
	}
	if refused > 0 {
		return 1, nil
	}
	return 0, nil
}

func main() {
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "podsecurity:", err)
		code = 3
	}
	os.Exit(code)
}
