// The fields of a form that an agent asks for, by its JSON schema. The browser checks what is typed.

interface Choice {
  const: string;
  title?: string;
}

interface Field {
  type?: string;
  title?: string;
  description?: string;
  default?: unknown;
  enum?: string[];
  oneOf?: Choice[];
  items?: { enum?: string[]; anyOf?: Choice[]; oneOf?: Choice[] };
  format?: string;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
}

export interface Schema {
  properties?: Record<string, Field>;
  required?: string[];
}

export type Values = Record<string, unknown>;

const FORMATS: Record<string, string> = { email: "email", uri: "url", date: "date" };

const choices = (of: { enum?: string[]; oneOf?: Choice[]; anyOf?: Choice[] } | undefined): Choice[] | undefined =>
  of?.oneOf ?? of?.anyOf ?? of?.enum?.map((word) => ({ const: word }));

/** What the form says before anybody has touched it. */
export function untouched(schema: Schema): Values {
  const said = Object.entries(schema.properties ?? {}).map(([name, field]) => [name, field.default ?? (field.type === "boolean" ? false : field.type === "array" ? [] : undefined)]);
  return Object.fromEntries(said.filter(([, value]) => value !== undefined)) as Values;
}

function Control({ field, required, value, set }: { field: Field; required: boolean; value: unknown; set: (value: unknown) => void }) {
  const known = choices(field);
  if (known) {
    return (
      <select required={required} value={(value as string | undefined) ?? ""} onChange={(event) => set(event.target.value || undefined)}>
        <option value="">choose…</option>
        {known.map((choice) => <option key={choice.const} value={choice.const}>{choice.title ?? choice.const}</option>)}
      </select>
    );
  }
  switch (field.type) {
    case "boolean":
      return <input type="checkbox" checked={value === true} onChange={(event) => set(event.target.checked)} />;
    case "number":
    case "integer":
      return (
        <input type="number" required={required} min={field.minimum} max={field.maximum} step={field.type === "integer" ? 1 : "any"}
          value={(value as number | undefined) ?? ""} onChange={(event) => set(event.target.value === "" ? undefined : event.target.valueAsNumber)} />
      );
    default:
      return (
        <input type={FORMATS[field.format ?? ""] ?? "text"} required={required} minLength={field.minLength} maxLength={field.maxLength} pattern={field.pattern}
          value={(value as string | undefined) ?? ""} onChange={(event) => set(event.target.value === "" && !required ? undefined : event.target.value)} />
      );
  }
}

/** Any number of some choices. */
function Several({ field, value, set }: { field: Field; value: string[]; set: (value: unknown) => void }) {
  return choices(field.items)?.map((choice) => (
    <label key={choice.const} className="choice">
      <input type="checkbox" checked={value.includes(choice.const)} onChange={(event) => set(event.target.checked ? [...value, choice.const] : value.filter((it) => it !== choice.const))} />{" "}
      {choice.title ?? choice.const}
    </label>
  ));
}

export function Fields({ schema, values, set }: { schema: Schema; values: Values; set: (name: string, value: unknown) => void }) {
  return Object.entries(schema.properties ?? {}).map(([name, field]) => {
    const required = schema.required?.includes(name) ?? false;
    const title = <>{field.title ?? name}{required && <span className="muted"> (needed)</span>}{field.description && <span className="muted"> {field.description}</span>}</>;
    if (field.type === "array") {
      return <fieldset key={name}><legend>{title}</legend><Several field={field} value={(values[name] as string[] | undefined) ?? []} set={(value) => set(name, value)} /></fieldset>;
    }
    return <label key={name}>{title} <Control field={field} required={required} value={values[name]} set={(value) => set(name, value)} /></label>;
  });
}
