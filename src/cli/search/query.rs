//! Builds parts of a search request.

use crate::cli::Error;

/// The most ids of one search.
const IDS_MAX: usize = 20;

/// The first and the last sequence between `after` and `before`; 0 means no bound.
pub fn sequences(after: Option<u64>, before: Option<u64>) -> Result<(u64, u64), Error> {
    let contradict = |after: u64, before: u64| {
        let text = format!("--after {after} and --before {before} leave no sequence between them");
        Err(Error::Usage(text))
    };
    let first = match after {
        None => 0,
        Some(after) => match after.checked_add(1) {
            Some(first) => first,
            None => return contradict(after, before.unwrap_or(u64::MAX)),
        },
    };
    match before {
        None => Ok((first, 0)),
        Some(1) => {
            let text = "--before 1 leaves nothing: sequences begin at 1";
            Err(Error::Usage(text.to_owned()))
        }
        Some(before) if first >= before => contradict(after.unwrap_or(0), before),
        Some(before) => Ok((first, before - 1)),
    }
}

/// An expression that events with one of these ids match.
pub fn any_id(ids: &[String]) -> Result<String, Error> {
    if ids.len() > IDS_MAX {
        return Err(Error::Usage(format!("--id is given {} times, limit {IDS_MAX}", ids.len())));
    }
    let one = |id: &String| format!("event.id == {}", literal(id));
    Ok(ids.iter().map(one).collect::<Vec<_>>().join(" || "))
}

/// A text as a CEL literal.
fn literal(text: &str) -> String {
    let mut out = String::from("'");
    for letter in text.chars() {
        match letter {
            '\'' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out + "'"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_lie_between_others() {
        let between = |after, before| sequences(after, before).map_err(|error| error.to_string());
        assert_eq!(between(None, None), Ok((0, 0)));
        assert_eq!(between(Some(4), None), Ok((5, 0)));
        assert_eq!(between(None, Some(4)), Ok((0, 3)));
        assert_eq!(between(Some(4), Some(6)), Ok((5, 5)));
        for (after, before, why) in [
            (Some(4), 5, "--after 4 and --before 5 leave"),
            (Some(9), 2, "--after 9 and --before 2 leave"),
            (None, 1, "--before 1 leaves nothing"),
            (Some(u64::MAX), 7, "--before 7 leave"),
        ] {
            let refused = between(after, Some(before)).expect_err("none is left");
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn an_id_is_a_text_whatever_it_holds() {
        let ids = ["a' || true || '", "b\\", "c\n\u{1}"].map(str::to_owned);
        assert_eq!(
            any_id(&ids).expect("few"),
            "event.id == 'a\\' || true || \\'' || event.id == 'b\\\\' || event.id == 'c\\u000a\\u0001'"
        );
        let refused = any_id(&vec![String::new(); IDS_MAX + 1]).expect_err("too many");
        assert!(refused.to_string().contains("--id is given 21 times, limit 20"), "{refused}");
    }

    #[cfg(feature = "server")]
    #[test]
    fn the_expression_is_one() {
        let expression = any_id(&["a'\\\n\u{202e}".to_owned(), "b".to_owned()]).expect("few");
        let filter = crate::proto::pb::Filter { expression, ..Default::default() };
        assert!(crate::filter::Filter::compile(&filter).is_ok());
    }
}
