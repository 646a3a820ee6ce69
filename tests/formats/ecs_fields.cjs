// Prints the fields of Elastic Common Schema as JSON: name, type, and whether it is a list.
const { EcsFlat } = require("@elastic/ecs");

const fields = {};
for (const [name, field] of Object.entries(EcsFlat)) {
  fields[name] = {
    type: field.type,
    array: (field.normalize ?? []).includes("array"),
    allowed: field.allowed_values?.map((value) => value.name),
    expected: field.allowed_values?.map((value) => value.expected_event_types ?? null),
  };
}
console.log(JSON.stringify(fields));
