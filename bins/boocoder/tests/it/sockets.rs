//! Frames over WebSockets, and connections that misbehave.

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;

use crate::serving::{LIMIT, Place};

#[tokio::test]
async fn every_client_sees_the_same_frames_live_and_in_a_replay() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    server.answer(&session, "say before anybody listens").await;

    let (mut one, mut two) = (server.listen(&session, "").await, server.listen(&session, "").await);
    let mut all = server.listen(&session, "?after=0").await;
    let task = server.say(&session, "think first\nstream 2000 40\nusage 3 4 0.5\nsay done").await;
    let (one, two) = (one.until_end_of(&task).await, two.until_end_of(&task).await);
    assert_eq!(one, two);
    let all = all.until_end_of(&task).await;
    let number = |frame: &Value| frame["seq"].as_u64().unwrap();
    assert_eq!(number(&all[0]), 1);
    assert!(all.windows(2).all(|pair| number(&pair[1]) == number(&pair[0]) + 1), "no hole");
    assert_eq!(all[all.len() - one.len()..], one, "live from the moment of opening on");
    assert!(number(&one[0]) > 1, "what was before is not sent unasked");

    let middle = number(&one[one.len() / 2]);
    let rest = server.listen(&session, &format!("?after={middle}")).await.until_end_of(&task).await;
    assert_eq!(rest, one[one.len() / 2 + 1..]);
    let streamed: String =
        one.iter().filter(|it| it["type"] == "delta").filter_map(|it| it["content"].as_str()).collect();
    assert!(streamed.len() > 2000 * 40 && streamed.ends_with("done"), "{} bytes", streamed.len());
    assert_eq!(server.ended(&task).await["output"], streamed, "no byte is lost");
    server.stop().await;
}

#[tokio::test]
async fn an_upgrade_is_checked_like_any_request() {
    let place = Place::new();
    let server = place.serve().await;
    let session = server.session(&place).await;
    for (header, value, query, expected) in [
        ("origin", "https://evil.example", "", 403),
        ("host", "evil.example", "", 403),
        ("authorization", "Bearer guess", "", 401),
        ("x-nothing", "wrong", "?after=x", 400),
        ("x-nothing", "wrong", "?after=-1", 400),
    ] {
        let mut request = server.handshake(&session, query);
        request.headers_mut().insert(header, value.parse().unwrap());
        match connect_async(request).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status().as_u16(), expected, "{header}: {value} {query}"),
            other => panic!("{header}: {value} {query}: {other:?}"),
        }
    }
    let nobody = server.handshake("0193a2b4-0000-7000-8000-000000000000", "");
    assert!(matches!(connect_async(nobody).await, Err(Error::Http(answer)) if answer.status() == 404));
    server.stop().await;
}

#[tokio::test]
async fn there_are_limits_for_headers_sockets_and_messages() {
    let place = Place::new();
    place.configure(
        "[limits.server]\nheader_read = \"300ms\"\nsockets = 1\nsocket_message_bytes = 1000\nbody_read = \"300ms\"\n",
    );
    let server = place.serve().await;
    let session = server.session(&place).await;
    let address = server.info.url.trim_start_matches("http://").to_owned();

    let mut slow = TcpStream::connect(&address).await.unwrap();
    slow.write_all(b"GET /api/health HTTP/1.1\r\nHost: ").await.unwrap();
    let mut answer = Vec::new();
    timeout(LIMIT, slow.read_to_end(&mut answer)).await.expect("half a request is not waited for").unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");

    let mut stuck = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /api/projects HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Length: 50\r\n\r\n{{",
        server.info.token
    );
    stuck.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = timeout(LIMIT, stuck.read(&mut answer)).await.expect("half a body is not waited for").unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"), "{answer}");

    let mut first = server.listen(&session, "").await;
    let second = connect_async(server.handshake(&session, "")).await;
    assert!(matches!(second, Err(Error::Http(answer)) if answer.status() == 503));
    first.send_text("x".repeat(2000)).await;
    assert!(first.next().await.is_none(), "a client that says too much is cut off");
    let again = async {
        while connect_async(server.handshake(&session, "")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, again).await.expect("its place is free again");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_gone() {
    let place = Place::new();
    place.configure("[limits.server]\nsockets = 1\nsocket_ping = \"100ms\"\n");
    let server = place.serve().await;
    let session = server.session(&place).await;
    // Nothing answers a ping for a client that does not read.
    let silent = server.listen(&session, "").await;
    let mut lively = timeout(LIMIT, async {
        loop {
            match connect_async(server.handshake(&session, "")).await {
                Ok((socket, _)) => return socket,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await
    .expect("the silent client's place is free");
    drop(silent);
    let reading = timeout(Duration::from_millis(1500), async {
        while let Some(message) = lively.next().await {
            message.expect("a client that reads, and so answers pings, stays");
        }
    });
    assert!(reading.await.is_err(), "it stays for many pings");
    server.stop().await;
}

#[tokio::test]
async fn a_browser_comes_in_by_the_printed_address() {
    let place = Place::new();
    let server = place.serve().await;
    let browser = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let entrance = format!("{}/?token={}", server.info.url, server.info.token);
    let entered = browser.get(entrance).send().await.unwrap();
    assert_eq!(entered.status(), 303);
    let cookie = entered.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let projects =
        browser.get(format!("{}/api/projects", server.info.url)).header("cookie", cookie).send().await.unwrap();
    assert_eq!(projects.json::<Value>().await.unwrap(), json!([]));
    let bare = browser.get(&server.info.url).send().await.unwrap();
    assert_eq!(bare.status(), 401);
    server.stop().await;
}
