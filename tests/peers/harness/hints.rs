//! An app that says beforehand what its page will need.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use crate::support::{Gate, Wire};

/// An app that hints at its stylesheet, and answers only once that was asked for.
pub(crate) fn hinting() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let door = Gate::closed();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let door = Arc::clone(&door);
            thread::spawn(move || {
                let mut wire = Wire::new(stream);
                while let Ok(Some(head)) = wire.head() {
                    let (kind, body) = match head.starts_with(b"GET /a.css ") {
                        true => {
                            door.open();
                            ("text/css", "p { color: red }")
                        }
                        false if head.starts_with(b"GET / ") => {
                            let hint =
                                "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload; as=style\r\n\r\n";
                            wire.send(hint);
                            door.pass();
                            ("text/html", "<link rel=stylesheet href=/a.css><p>hinted</p>")
                        }
                        false => ("text/plain", ""),
                    };
                    let length = body.len();
                    let head =
                        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n");
                    wire.send(format!("{head}cache-control: max-age=60\r\n\r\n{body}"));
                }
            });
        }
    });
    address
}
