//! A plugin in Rust, without any crate: how often the terms of its configuration stand in the content.
//!
//! Built with
//! `rustc --edition 2021 --target wasm32-unknown-unknown --crate-type cdylib -C opt-level=s -C lto -C panic=abort -C strip=symbols terms.rs`

use std::alloc::{alloc as take, Layout};

#[link(wasm_import_module = "aiw")]
extern "C" {
    fn log(level: i32, pointer: *const u8, length: usize);
}

const MANIFEST: &str = r#"{"name":"terms","version":"1.0.0","description":"Counts terms","author":"the platform",
"required_permissions":["log"],"configuration_schema":{"type":"object","properties":{"terms":{"type":"array",
"items":{"type":"string"},"minItems":1}},"required":["terms"]}}"#;

#[no_mangle]
pub extern "C" fn alloc(length: usize) -> *mut u8 {
    unsafe { take(Layout::from_size_align_unchecked(length.max(1), 1)) }
}

#[no_mangle]
pub extern "C" fn metadata() -> u64 {
    given(MANIFEST.to_string())
}

#[no_mangle]
pub extern "C" fn validate(pointer: *const u8, length: usize) -> u64 {
    let config = read(pointer, length);
    let short = terms_of(&config).iter().any(|term| term.trim().is_empty());
    given(if short { r#"["a term has letters"]"#.into() } else { "[]".into() })
}

#[no_mangle]
pub extern "C" fn process(pointer: *const u8, length: usize) -> u64 {
    let input = read(pointer, length);
    let content = input.get("content").and_then(Value::text).unwrap_or("").to_lowercase();
    let terms = input.get("config").map(terms_of).unwrap_or_default();
    let counts: Vec<String> = terms
        .iter()
        .map(|term| format!("{}:{}", quoted(term), content.matches(&term.to_lowercase()).count()))
        .collect();
    let line = format!("counted {} terms in {} bytes", terms.len(), content.len());
    unsafe { log(1, line.as_ptr(), line.len()) };
    given(format!(r#"{{"extracted_data":{{"terms":{{{}}}}}}}"#, counts.join(",")))
}

fn terms_of(config: &Value) -> Vec<String> {
    match config.get("terms") {
        Some(Value::List(items)) => items.iter().filter_map(|item| item.text().map(String::from)).collect(),
        _ => Vec::new(),
    }
}

fn read(pointer: *const u8, length: usize) -> Value {
    let bytes = unsafe { std::slice::from_raw_parts(pointer, length) };
    Reader { bytes, at: 0 }.value()
}

fn given(text: String) -> u64 {
    let bytes = text.into_bytes().leak();
    ((bytes.as_ptr() as u64) << 32) | bytes.len() as u64
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control < ' ' => quoted.push_str(&format!("\\u{:04x}", control as u32)),
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

/// As much of JSON as a plugin needs: numbers, true, false and null are all `Other`.
enum Value {
    Text(String),
    List(Vec<Value>),
    Fields(Vec<(String, Value)>),
    Other,
}

impl Value {
    fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Fields(fields) => fields.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self) -> Value {
        match self.peek() {
            b'"' => Value::Text(self.text()),
            b'[' => {
                let mut items = Vec::new();
                self.each(b']', |reader| items.push(reader.value()));
                Value::List(items)
            }
            b'{' => {
                let mut fields = Vec::new();
                self.each(b'}', |reader| {
                    reader.peek();
                    let name = reader.text();
                    reader.peek();
                    reader.at += 1;
                    fields.push((name, reader.value()));
                });
                Value::Fields(fields)
            }
            _ => {
                while !matches!(self.bytes[self.at], b',' | b']' | b'}') {
                    self.at += 1;
                }
                Value::Other
            }
        }
    }

    fn each(&mut self, end: u8, mut one: impl FnMut(&mut Self)) {
        self.at += 1;
        while self.peek() != end {
            one(self);
            if self.peek() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    fn peek(&mut self) -> u8 {
        while self.bytes[self.at].is_ascii_whitespace() {
            self.at += 1;
        }
        self.bytes[self.at]
    }

    fn text(&mut self) -> String {
        let mut units: Vec<u16> = Vec::new();
        let mut text = String::new();
        self.at += 1;
        loop {
            let byte = self.bytes[self.at];
            let escaped = byte == b'\\' && self.bytes[self.at + 1] == b'u';
            if !escaped && !units.is_empty() {
                text.push_str(&String::from_utf16_lossy(&units));
                units.clear();
            }
            if byte == b'"' {
                self.at += 1;
                return text;
            }
            if escaped {
                let digits = std::str::from_utf8(&self.bytes[self.at + 2..self.at + 6]).unwrap();
                units.push(u16::from_str_radix(digits, 16).unwrap());
                self.at += 6;
            } else if byte == b'\\' {
                text.push(match self.bytes[self.at + 1] {
                    b'n' => '\n',
                    b't' => '\t',
                    b'r' => '\r',
                    b'b' => '\u{8}',
                    b'f' => '\u{c}',
                    other => other as char,
                });
                self.at += 2;
            } else {
                let start = self.at;
                while !matches!(self.bytes[self.at], b'"' | b'\\') {
                    self.at += 1;
                }
                text.push_str(std::str::from_utf8(&self.bytes[start..self.at]).unwrap());
            }
        }
    }
}
