//! Who is answered at all: token, host, origin, and the headers of every answer.

use crate::memory::{HOST, Memory};

/// Every route that there is, with a path that fits it.
const ROUTES: [(&str, &str); 34] = [
    ("GET", "/"),
    ("GET", "/api/ready"),
    ("GET", "/api/projects"),
    ("POST", "/api/projects"),
    ("GET", "/api/sessions"),
    ("POST", "/api/sessions"),
    ("GET", "/api/sessions/x"),
    ("DELETE", "/api/sessions/x"),
    ("POST", "/api/sessions/x/chats"),
    ("DELETE", "/api/chats/x"),
    ("GET", "/api/sessions/x/messages"),
    ("POST", "/api/sessions/x/messages"),
    ("GET", "/api/sessions/x/agent-sessions"),
    ("GET", "/api/sessions/x/pending"),
    ("POST", "/api/sessions/x/pending"),
    ("GET", "/api/sessions/x/worktree-risk"),
    ("GET", "/api/sessions/x/ws"),
    ("GET", "/api/tasks"),
    ("POST", "/api/tasks/x/cancel"),
    ("GET", "/api/interactions"),
    ("POST", "/api/interactions/x"),
    ("POST", "/api/pending/x/apply"),
    ("GET", "/api/pending/x"),
    ("POST", "/api/pending/x/rebase"),
    ("POST", "/api/sessions/x/pending/apply"),
    ("GET", "/api/sessions/x/turns"),
    ("GET", "/api/sessions/x/diff"),
    ("POST", "/api/sessions/x/restore"),
    ("GET", "/api/sessions/x/export"),
    ("POST", "/api/sessions/x/export"),
    ("GET", "/api/providers"),
    ("GET", "/api/stats"),
    ("GET", "/api/openapi.json"),
    ("GET", "/api/nothing"),
];

#[tokio::test]
async fn every_route_but_health_needs_the_token() {
    let server = Memory::start().await;
    for (method, path) in ROUTES {
        let bare = warp::test::request().method(method).path(path).header("host", HOST);
        let answer = server.answer(bare).await;
        assert_eq!((answer.status, &answer.json["code"]), (401, &"no_token".into()), "{method} {path}: {answer:?}");
        let wrong = warp::test::request().method(method).path(path).header("host", HOST);
        let answer = server.answer(wrong.header("authorization", "Bearer guess")).await;
        assert_eq!((answer.status, &answer.json["code"]), (401, &"wrong_token".into()), "{method} {path}: {answer:?}");
    }
    let health = server.answer(warp::test::request().path("/api/health").header("host", HOST)).await;
    assert_eq!((health.status, &health.json["status"]), (200, &"ok".into()));
    assert_eq!(health.json["version"], boocoder::VERSION);
}

#[tokio::test]
async fn a_wrong_host_or_origin_is_refused_on_every_route() {
    let server = Memory::start().await;
    let bearer = format!("Bearer {}", server.token.reveal());
    for (method, path) in ROUTES.into_iter().chain([("GET", "/api/health"), ("GET", "/?token=x")]) {
        let request = || warp::test::request().method(method).path(path).header("authorization", bearer.clone());
        for (host, origin, code) in [
            (Some("evil.example:4317"), None, "wrong_host"),
            (None, None, "wrong_host"),
            (Some(HOST), Some("https://evil.example"), "wrong_origin"),
            (Some(HOST), Some("http://127.0.0.1:3000"), "wrong_origin"),
            (Some(HOST), Some("null"), "wrong_origin"),
        ] {
            let mut request = request();
            for (name, value) in [("host", host), ("origin", origin)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            let answer = server.answer(request).await;
            assert_eq!(
                (answer.status, &answer.json["code"]),
                (403, &code.into()),
                "{method} {path} {host:?} {origin:?}"
            );
        }
    }
    let own = server.request("GET", "/api/projects").header("origin", format!("http://{HOST}"));
    assert_eq!(server.answer(own).await.status, 200);
}

#[tokio::test]
async fn the_printed_address_gives_a_cookie_and_leads_to_the_page() {
    let server = Memory::start().await;
    let open = |path: &str| warp::test::request().path(path).header("host", HOST);
    let entered = server.answer(open(&format!("/?token={}", server.token.reveal()))).await;
    assert_eq!((entered.status, &entered.headers["location"]), (303, &"/".parse().unwrap()));
    let cookie = entered.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"), "{cookie}");

    let pair = cookie.split(';').next().unwrap();
    let page = server.answer(open("/").header("cookie", pair)).await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(
        page.text.contains("boocoder run") && page.text.contains("/api/") && !page.text.contains(server.token.reveal())
    );

    let guessed = server.answer(open("/?token=guess")).await;
    assert_eq!((guessed.status, guessed.headers.get("set-cookie")), (401, None));
}

#[tokio::test]
async fn the_page_and_what_it_loads_are_for_those_with_the_token() {
    let server = Memory::start().await;
    let page = server.get("/").await;
    assert_eq!(page.headers["content-security-policy"], boocoder_web::POLICY);
    let stranger = server.answer(warp::test::request().path("/assets/x.js").header("host", HOST)).await;
    assert_eq!(stranger.status, 401);
    assert_eq!(server.get("/assets/x.js").await.status, 404);
    // Without the page being built there is nothing to load, and the page itself says so.
    let assets: Vec<&str> = page.text.split('"').filter(|word| word.starts_with("/assets/")).collect();
    assert_eq!(boocoder_web::is_built(), !assets.is_empty());
    for path in assets {
        let asset = server.get(path).await;
        assert_eq!(
            (asset.status, &asset.headers["cache-control"]),
            (200, &boocoder_web::ASSET_CACHING.parse().unwrap())
        );
    }
}

#[tokio::test]
async fn every_answer_forbids_sniffing_framing_and_caching() {
    let server = Memory::start().await;
    let refused = warp::test::request().path("/api/projects").header("host", HOST);
    let (page, health, missing) = (server.get("/").await, server.get("/api/health").await, server.get("/x").await);
    for answer in [page, health, missing, server.answer(refused).await] {
        for (name, value) in
            [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("cache-control", "no-store")]
        {
            assert_eq!(answer.headers[name], value, "{answer:?}");
        }
        assert!(answer.headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    }
}
