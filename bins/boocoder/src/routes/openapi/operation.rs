//! One method of one path, as it is described.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

/// Schemas by their names.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// A method of a path, and what follows from it alone: what it asks for, answers and refuses.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) needs_token: bool,
    /// The schema of the body, and whether there has to be one.
    pub(super) body: Option<(Value, bool)>,
    /// What is answered when all went well, by status.
    pub(super) answers: Vec<(u16, Value)>,
    pub(super) schemas: Schemas,
    query: Vec<Value>,
    refuses: BTreeSet<u16>,
}

/// What a parameter of a query holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Id,
    Text,
    Number,
    Time,
    Switch,
}

impl Operation {
    pub(super) const fn new(method: &'static str, path: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            summary,
            needs_token: true,
            body: None,
            answers: Vec::new(),
            schemas: Vec::new(),
            query: Vec::new(),
            refuses: BTreeSet::new(),
        }
    }

    /// Needs no token.
    pub(super) const fn open(mut self) -> Self {
        self.needs_token = false;
        self
    }

    /// May be told this in the query.
    pub(super) fn asks(mut self, name: &str, kind: Kind, meaning: &str) -> Self {
        let schema = match kind {
            Kind::Id => json!({"type": "string", "format": "uuid"}),
            Kind::Text => json!({"type": "string"}),
            Kind::Number => json!({"type": "integer", "minimum": 0}),
            Kind::Time => json!({"type": "string", "format": "date-time"}),
            Kind::Switch => json!({"type": "string", "enum": ["true", "1", "false", "0"]}),
        };
        self.query.push(json!({"name": name, "in": "query", "description": meaning, "schema": schema}));
        self
    }

    /// Needs this body.
    pub(super) fn takes<T: ToSchema>(mut self) -> Self {
        self.body = Some((self.knows::<T>(), true));
        self
    }

    /// Takes this body, or none.
    pub(super) fn may_take<T: ToSchema>(mut self) -> Self {
        self.body = Some((self.knows::<T>(), false));
        self
    }

    /// Answers with one of these.
    pub(super) fn answers<T: ToSchema>(mut self, status: u16) -> Self {
        let schema = self.knows::<T>();
        self.with(status, "application/json", &schema)
    }

    /// Answers with a list of these.
    pub(super) fn lists<T: ToSchema>(mut self) -> Self {
        let items = self.knows::<T>();
        self.with(200, "application/json", &json!({"type": "array", "items": items}))
    }

    /// Answers with a text of this media type.
    pub(super) fn tells(self, media_type: &str) -> Self {
        self.with(200, media_type, &json!({"type": "string"}))
    }

    /// Answers with any JSON.
    pub(super) fn tells_json(self) -> Self {
        self.with(200, "application/json", &json!({"type": "object"}))
    }

    /// Goes on as a WebSocket, whose messages are one of these or an array of them.
    pub(super) fn streams<T: ToSchema>(mut self) -> Self {
        let one = self.knows::<T>();
        let schema = json!({"anyOf": [one.clone(), {"type": "array", "items": one}]});
        self.with(101, "application/json", &schema).refuses(&[426])
    }

    /// Answers with this status and nothing else.
    pub(super) fn ends(mut self, status: u16, meaning: &str) -> Self {
        self.answers.push((status, json!({"description": meaning})));
        self
    }

    /// Refuses with these, beside those that follow from what it takes.
    pub(super) fn refuses(mut self, statuses: &[u16]) -> Self {
        self.refuses.extend(statuses);
        self
    }

    fn with(mut self, status: u16, media_type: &str, schema: &Value) -> Self {
        let answer = json!({"description": self.summary, "content": {media_type: {"schema": schema}}});
        self.answers.push((status, answer));
        self
    }

    fn knows<T: ToSchema>(&mut self) -> Value {
        keep::<T>(&mut self.schemas)
    }

    /// The parts of its path that are a name or an id.
    fn places(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// The parameters of its path, then those of its query.
    pub(super) fn parameters(&self) -> Vec<Value> {
        let in_path = self.places().map(|name| {
            let schema =
                if name == "id" { json!({"type": "string", "format": "uuid"}) } else { json!({"type": "string"}) };
            json!({"name": name, "in": "path", "required": true, "schema": schema})
        });
        in_path.chain(self.query.iter().cloned()).collect()
    }

    /// With what it may refuse, in order.
    pub(super) fn refusals(&self) -> BTreeSet<u16> {
        let mut statuses = self.refuses.clone();
        // Where a request comes from is looked at first, whatever it asks for.
        statuses.insert(403);
        if self.needs_token {
            statuses.insert(401);
        }
        if self.places().next().is_some() {
            statuses.insert(404);
        }
        if self.body.is_some() {
            statuses.extend([400, 408, 413, 422]);
        }
        if self.is_of_the_api() {
            statuses.extend([500, 503]);
            statuses.extend((!self.query.is_empty()).then_some(400));
        }
        statuses
    }

    /// Whether it does something: the page and what only tells of the server have nothing that could fail.
    fn is_of_the_api(&self) -> bool {
        self.path.starts_with("/api/") && self.needs_token && self.path != "/api/openapi.json"
    }

    /// What groups it: the first part of its path that says something.
    pub(super) fn tag(&self) -> &'static str {
        let path = self.path.strip_prefix("/api/").unwrap_or(self.path);
        path.split('/').find(|part| !part.is_empty()).unwrap_or("page")
    }

    /// Its name for programs: the method and the path.
    pub(super) fn id(&self) -> String {
        let parts = self.path.split(['/', '{', '}', '.', '-']).filter(|part| !part.is_empty() && *part != "api");
        [self.method].into_iter().chain(parts).collect::<Vec<_>>().join("_")
    }
}

/// Keeps the schemas of a type and of its parts, and refers to it.
pub(super) fn keep<T: ToSchema>(schemas: &mut Schemas) -> Value {
    T::schemas(schemas);
    schemas.push((T::name().into(), T::schema()));
    json!({"$ref": format!("#/components/schemas/{}", T::name())})
}
