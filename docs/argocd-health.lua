-- Health of a Reranker for Argo CD. It goes into the ConfigMap `argocd-cm` under the key
-- `resource.customizations.health.podium.sh_Reranker`; docs/operations.md says what the conditions mean.
local hs = {status = "Progressing", message = "the operator has not looked at this generation yet"}
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return hs
end
local is, ready = {}, nil
for _, condition in ipairs(obj.status.conditions or {}) do
  is[condition.type] = condition.status
  if condition.type == "Ready" then
    ready = condition
  end
end
if ready == nil then
  return hs
end
hs.message = ready.reason .. ": " .. ready.message
if is.Stalled == "True" then
  hs.status = "Degraded"
elseif is.Reconciling == "True" then
  hs.status = "Progressing"
elseif obj.spec.suspend then
  hs.status = "Suspended"
elseif ready.status == "True" then
  hs.status = "Healthy"
else
  hs.status = "Degraded"
end
return hs
