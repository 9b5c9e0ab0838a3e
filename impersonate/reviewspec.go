package impersonate

import (
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// specOf fills spec with a request's attributes, in the same way as the API server asks an
// authorization webhook. If spec cannot express a selector of the request, specOf leaves it out:
// the review then asks for more rights, not for fewer.
func specOf(spec *authorizationv1.SubjectAccessReviewSpec, a authorizer.Attributes) {
	if !a.IsResourceRequest() {
		spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: a.GetPath(), Verb: a.GetVerb()}
		return
	}
	spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
		Namespace: a.GetNamespace(), Verb: a.GetVerb(), Group: a.GetAPIGroup(), Version: a.GetAPIVersion(),
		Resource: a.GetResource(), Subresource: a.GetSubresource(), Name: a.GetName(),
	}
	if selected, _ := a.GetFieldSelector(); len(selected) > 0 {
		if requirements := fieldRequirements(selected); len(requirements) > 0 {
			spec.ResourceAttributes.FieldSelector = &authorizationv1.FieldSelectorAttributes{Requirements: requirements}
		}
	}
	if selected, _ := a.GetLabelSelector(); len(selected) > 0 {
		if requirements := labelRequirements(selected); len(requirements) > 0 {
			spec.ResourceAttributes.LabelSelector = &authorizationv1.LabelSelectorAttributes{Requirements: requirements}
		}
	}
}

func fieldRequirements(selected fields.Requirements) []metav1.FieldSelectorRequirement {
	var requirements []metav1.FieldSelectorRequirement
	for _, r := range selected {
		var operator metav1.FieldSelectorOperator
		switch r.Operator {
		case selection.Equals, selection.DoubleEquals, selection.In:
			operator = metav1.FieldSelectorOpIn
		case selection.NotEquals, selection.NotIn:
			operator = metav1.FieldSelectorOpNotIn
		default:
			continue
		}
		requirements = append(requirements, metav1.FieldSelectorRequirement{Key: r.Field, Operator: operator, Values: []string{r.Value}})
	}
	return requirements
}

func labelRequirements(selected labels.Requirements) []metav1.LabelSelectorRequirement {
	var requirements []metav1.LabelSelectorRequirement
	for _, r := range selected {
		var operator metav1.LabelSelectorOperator
		switch r.Operator() {
		case selection.Equals, selection.DoubleEquals, selection.In:
			operator = metav1.LabelSelectorOpIn
		case selection.NotEquals, selection.NotIn:
			operator = metav1.LabelSelectorOpNotIn
		case selection.Exists:
			operator = metav1.LabelSelectorOpExists
		case selection.DoesNotExist:
			operator = metav1.LabelSelectorOpDoesNotExist
		default:
			continue
		}
		requirement := metav1.LabelSelectorRequirement{Key: r.Key(), Operator: operator}
		if values := r.ValuesUnsorted(); len(values) > 0 {
			requirement.Values = values
		}
		requirements = append(requirements, requirement)
	}
	return requirements
}
