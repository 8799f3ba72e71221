//! Pages of keyed items. In: items sorted by their key, a page size and the caller's token. Out:
//! one page and the next token, alone or as a response. Pure.
//!
//! A token contains the last key returned, not an offset, so items added or removed between two
//! pages do not shift the pages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The token was not issued by this module.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidToken;

/// The items after `token`, at most `size` of them, and the token of the next page if there is one.
pub fn page<T>(
    items: impl IntoIterator<Item = (String, T)>,
    token: Option<&str>,
    size: usize,
) -> Result<(Vec<T>, Option<String>), InvalidToken> {
    let after = token.map(last_key).transpose()?;
    let mut remaining =
        items.into_iter().filter(|(key, _)| after.as_ref().is_none_or(|after| key > after)).peekable();
    let mut page = Vec::new();
    let mut last = String::new();
    while page.len() < size {
        let Some((key, item)) = remaining.next() else { break };
        page.push(item);
        last = key;
    }
    let next = remaining.peek().map(|_| URL_SAFE_NO_PAD.encode(last));
    Ok((page, next))
}

/// One page as a response: the items under `member`, and the token of the next page, if there is
/// one, under `token_member`.
pub fn page_response(
    member: &str,
    items: impl IntoIterator<Item = (String, Value)>,
    token_member: &str,
    token: Option<&str>,
    size: usize,
) -> Result<Value, InvalidToken> {
    let (items, next) = page(items, token, size)?;
    let mut response = json!({ member: items });
    if let Some(next) = next {
        response[token_member] = Value::from(next);
    }
    Ok(response)
}

fn last_key(token: &str) -> Result<String, InvalidToken> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| InvalidToken)?;
    String::from_utf8(bytes).map_err(|_| InvalidToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(keys: &[&str]) -> Vec<(String, String)> {
        keys.iter().map(|key| ((*key).to_owned(), (*key).to_owned())).collect()
    }

    #[test]
    fn pages_cover_everything_once_and_the_last_has_no_token() {
        let (first, token) = page(keyed(&["a", "b", "c"]), None, 2).unwrap();
        assert_eq!(first, ["a", "b"]);
        let (second, end) = page(keyed(&["a", "b", "c"]), token.as_deref(), 2).unwrap();
        assert_eq!((second, end), (vec!["c".to_owned()], None));
    }

    #[test]
    fn removing_an_item_between_pages_hides_no_other() {
        let (_, token) = page(keyed(&["a", "b", "c", "d"]), None, 2).unwrap();
        let (second, _) = page(keyed(&["b", "c", "d"]), token.as_deref(), 2).unwrap();
        assert_eq!(second, ["c", "d"]);
    }

    #[test]
    fn an_exactly_full_last_page_has_no_token() {
        assert_eq!(page(keyed(&["a", "b"]), None, 2).unwrap().1, None);
    }

    #[test]
    fn a_response_has_a_token_only_if_there_is_a_next_page() {
        let items = || ["a", "b"].map(|key| (key.to_owned(), json!(key)));
        let first = page_response("Names", items(), "NextToken", None, 1).unwrap();
        assert_eq!(first, json!({"Names": ["a"], "NextToken": URL_SAFE_NO_PAD.encode("a")}));
        let last = page_response("Names", items(), "NextToken", first["NextToken"].as_str(), 1).unwrap();
        assert_eq!(last, json!({"Names": ["b"]}));
    }

    #[test]
    fn an_invalid_token_is_rejected() {
        assert_eq!(page(keyed(&["a"]), Some("!!"), 1), Err(InvalidToken));
    }
}
