//! `GET /api/openapi.json`: the routes as a program reads them.
//!
//! The schemas of bodies come from the types that the handlers read and write. Which route takes and answers what stands
//! in [`operations`]; a test walks it against the real routes and against `docs/api.md`.

mod operation;
mod operations;

use boocoder_wire::Problem;
use boocoder_wire::problem::Details;
use serde_json::{Map, Value, json};
use warp::Filter;
use warp::reply::Reply;

use self::operation::{Operation, Schemas, keep};
use super::Route;

/// The version of OpenAPI that the document follows.
const OPENAPI: &str = "3.1.0";

/// What whoever reads the document should know first.
const ABOUT: &str = "Answers may gain fields, and lists of words may gain words: ignore what you do not know. Requests are \
    read strictly: an unknown field is refused. An error is a problem, whose code does not change between versions.";

/// The name of the security scheme.
const TOKEN: &str = "token";

/// What each status of an error means, whichever route answers it.
const REFUSALS: [(u16, &str); 11] = [
    (400, "The request cannot be read"),
    (401, "The token is missing or wrong"),
    (403, "The request does not come from where it may"),
    (404, "There is no such thing"),
    (408, "The body did not come in time"),
    (409, "What is there stands in the way; some codes come with details"),
    (413, "The body is too large"),
    (422, "The request can be read and not be carried out"),
    (426, "The route speaks WebSocket only"),
    (500, "Not the caller's fault; the server's log has it too"),
    (503, "Not now"),
];

pub(super) fn routes() -> Route {
    warp::path!("api" / "openapi.json").and(warp::get()).map(|| warp::reply::json(&document()).into_response()).boxed()
}

fn document() -> Value {
    let mut schemas = Schemas::new();
    let problem = keep::<Problem>(&mut schemas);
    // A conflict may tell more, which the caller needs to go on.
    let conflict = json!({"anyOf": [{"allOf": [problem.clone(), keep::<Details>(&mut schemas)]}, problem.clone()]});
    let mut paths = Map::new();
    for operation in operations::all() {
        let described = described(&operation);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = described;
        schemas.extend(operation.schemas);
    }
    schemas.sort_by(|(one, _), (other, _)| one.cmp(other));
    schemas.dedup_by(|(one, _), (other, _)| one == other);
    let schemas: Map<String, Value> = schemas.into_iter().map(|(name, schema)| (name, json!(schema))).collect();
    let responses: Map<String, Value> = REFUSALS
        .iter()
        .map(|(status, meaning)| {
            let content = json!({"application/json": {"schema": if *status == 409 { &conflict } else { &problem }}});
            (status.to_string(), json!({"description": meaning, "content": content}))
        })
        .collect();
    let token = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "The token of the server's data directory. A browser sends it in a cookie, which `/?token=TOKEN` sets.",
    });
    json!({
        "openapi": OPENAPI,
        "info": {"title": "BooCoder", "version": crate::VERSION, "description": ABOUT},
        "servers": [{"url": "/"}],
        "security": [{TOKEN: []}],
        "paths": paths,
        "components": {"schemas": schemas, "responses": responses, "securitySchemes": {TOKEN: token}},
    })
}

fn described(operation: &Operation) -> Value {
    let mut described = json!({
        "operationId": operation.id(),
        "tags": [operation.tag()],
        "summary": operation.summary,
    });
    if !operation.needs_token {
        described["security"] = json!([]);
    }
    let parameters = operation.parameters();
    if !parameters.is_empty() {
        described["parameters"] = json!(parameters);
    }
    if let Some((schema, required)) = &operation.body {
        described["requestBody"] = json!({"required": required, "content": {"application/json": {"schema": schema}}});
    }
    let answers = operation.answers.iter().map(|(status, answer)| (status.to_string(), answer.clone()));
    let refusals = operation.refusals().into_iter().map(|status| {
        let status = status.to_string();
        let reference = json!({"$ref": format!("#/components/responses/{status}")});
        (status, reference)
    });
    described["responses"] = Value::Object(answers.chain(refusals).collect());
    described
}
