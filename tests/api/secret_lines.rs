//! Lines with secrets, and harmless ones that look alike, made from the grammars of SQL
//! dialects, shells, JSON and HTTP.
//!
//! How a text is quoted follows the manuals: PostgreSQL 4.1.2, MySQL 9.1.1, T-SQL
//! "Constants", Oracle "Text Literals", SQLite "lang_expr", Snowflake "String & binary
//! data types", POSIX shell 2.2, RFC 8259. Nothing here knows how secrets are found.

/// A source of choices.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64, https://prng.di.unimi.it/splitmix64.c
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.roll(from.len())]
    }
}

/// What each canary begins with. Each secret has two, so that a half that is left
/// shows, too.
pub const CANARY: &str = "canary-";

/// A secret with something special in the middle.
fn secret(number: usize, special: &str) -> String {
    format!("{CANARY}{number}a{special}{CANARY}{number}b")
}

const SPECIALS: [&str; 19] = [
    "", "", "'", "\"", "\\", " ", ";", ",", ")", "é", "$", "@", "/", "%", "&x", "#", "|", "''",
    "ж ü",
];

/// The dialects of SQL, and how each of them writes a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Postgres,
    MySql,
    Mssql,
    Oracle,
    Sqlite,
    Snowflake,
}

const DIALECTS: [Dialect; 6] = [
    Dialect::Postgres,
    Dialect::MySql,
    Dialect::Mssql,
    Dialect::Oracle,
    Dialect::Sqlite,
    Dialect::Snowflake,
];

fn doubled(quote: char, text: &str) -> String {
    format!("{quote}{}{quote}", text.replace(quote, &format!("{quote}{quote}")))
}

fn escaped(quote: char, text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace(quote, &format!("\\{quote}"));
    format!("{quote}{text}{quote}")
}

/// Splits within the first half.
fn halves(text: &str) -> (&str, &str) {
    text.split_at(9)
}

fn sql_literal(dialect: Dialect, text: &str, dice: &mut Dice) -> String {
    let (front, back) = halves(text);
    let plain = |text: &str| doubled('\'', text);
    match (dialect, dice.roll(6)) {
        (Dialect::Postgres, 0) => format!("E{}", escaped('\'', text)),
        (Dialect::Postgres, 1) if !text.contains('$') => format!("$${text}$$"),
        (Dialect::Postgres, 2) => format!("$pw${text}$pw$"),
        (Dialect::Postgres, 3) => format!("U&{}", plain(text)),
        (Dialect::Postgres, 4) => format!("{}\n  {}", plain(front), plain(back)),
        (Dialect::MySql, 0 | 1) => escaped('\'', text),
        (Dialect::MySql, 2) => escaped('"', text),
        (Dialect::MySql, 3) => doubled('"', &text.replace('\\', "")),
        (Dialect::MySql, 4) => format!("_utf8mb4{}", escaped('\'', text)),
        (Dialect::MySql, _) => format!("{} {}", escaped('\'', front), escaped('\'', back)),
        (Dialect::Mssql, 0..=2) => format!("N{}", plain(text)),
        (Dialect::Mssql, 3) => format!("N{} + N{}", plain(front), plain(back)),
        (Dialect::Oracle, 0) => format!("q'[{text}]'"),
        (Dialect::Oracle, 1) => format!("q'!{text}!'"),
        (Dialect::Oracle, 2) => format!("nq'{{{text}}}'"),
        (Dialect::Oracle, 3 | 4) if !text.contains('"') => format!("\"{text}\""),
        (Dialect::Sqlite, 0) => doubled('"', text),
        (Dialect::Sqlite, 1) => format!("{}||{}", plain(front), plain(back)),
        (Dialect::Snowflake, 0) => format!("$${text}$$"),
        (Dialect::Snowflake, 1 | 2) => escaped('\'', text),
        _ => plain(text),
    }
}

/// Statements that set a secret: `{v}` is the secret, `_` white space or a comment.
fn sql_places(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Postgres => &[
            "ALTER ROLE bob_PASSWORD_{v}",
            "CREATE USER bob WITH LOGIN ENCRYPTED_PASSWORD_{v} VALID UNTIL '2031-01-01'",
            "CREATE USER MAPPING FOR bob SERVER s OPTIONS (user 'bob', password_{v})",
            "UPDATE users SET name = 'x', password_=_crypt({v}, gen_salt('bf')) WHERE id = 7",
            "INSERT INTO users (name, password) VALUES ('bob',_{v})",
            "SELECT * FROM users WHERE password_=_{v} AND id > 3",
            "SELECT * FROM users WHERE name = 'bob' AND password_LIKE_{v}",
            "SELECT pgp_sym_decrypt(data,_{v}) FROM t",
        ],
        Dialect::MySql => &[
            "CREATE USER 'bob'@'%' IDENTIFIED_BY_{v}",
            "CREATE USER bob IDENTIFIED WITH mysql_native_password BY_{v} REQUIRE SSL",
            "ALTER USER bob IDENTIFIED_BY_{v}_REPLACE_{w}",
            "SET PASSWORD FOR 'bob'@'localhost'_=_{v}",
            "SET PASSWORD FOR bob = PASSWORD(_{v}_)",
            "SET_PASSWORD_=_{v}",
            "GRANT ALL ON d.* TO 'bob'@'%' IDENTIFIED_BY_{v} WITH GRANT OPTION",
            "CREATE USER bob IDENTIFIED VIA ed25519 USING_{v} OR unix_socket",
            "CHANGE MASTER TO MASTER_HOST='h', MASTER_PASSWORD_=_{v}, MASTER_PORT=3306",
            "INSERT INTO accounts (id, secret, name) VALUES (1, {v}, 'bob'), (2, {w}, 'eve')",
            "UPDATE users SET `password` = {v} WHERE id = 3",
        ],
        Dialect::Mssql => &[
            "CREATE LOGIN bob WITH PASSWORD_=_{v}",
            "ALTER LOGIN [bob] WITH PASSWORD_=_{v} OLD_PASSWORD_=_{w}",
            "OPEN SYMMETRIC KEY k DECRYPTION BY PASSWORD_=_{v}",
            "CREATE DATABASE SCOPED CREDENTIAL c WITH IDENTITY = 'u', SECRET_=_{v}",
            "EXEC sp_addlogin 'bob',_{v}",
            "UPDATE dbo.users SET [password] = {v} WHERE [id] = 3",
        ],
        Dialect::Oracle => &[
            "CREATE USER bob IDENTIFIED_BY_{v} DEFAULT TABLESPACE users",
            "ALTER USER bob IDENTIFIED_BY_{v} REPLACE_{w}",
            "CREATE DATABASE LINK l CONNECT TO bob IDENTIFIED_BY_{v} USING 'tns'",
            "ADMINISTER KEY MANAGEMENT SET KEYSTORE OPEN IDENTIFIED_BY_{v}",
            "MERGE INTO users u USING d ON (u.id = d.id) WHEN NOT MATCHED THEN INSERT (id, password) VALUES (1, {v})",
        ],
        Dialect::Sqlite => &[
            "PRAGMA key_=_{v}",
            "ATTACH DATABASE 'x.db' AS e KEY_{v}",
            "INSERT INTO settings (api_key, n) VALUES ({v}, 1)",
            "UPDATE users SET api_token_=_{v} WHERE id = 3",
        ],
        Dialect::Snowflake => &[
            "CREATE USER bob PASSWORD_=_{v} DEFAULT_ROLE = r",
            "CREATE SECRET s TYPE = PASSWORD USERNAME = 'u' PASSWORD_=_{v}",
            "CREATE SECRET s TYPE = GENERIC_STRING SECRET_STRING_=_{v}",
            "COPY INTO t FROM 's3://b/p' CREDENTIALS = (AWS_KEY_ID = 'k' AWS_SECRET_KEY_=_{v})",
            "CREATE STAGE s ENCRYPTION = (TYPE = 'AWS_CSE' MASTER_KEY_=_{v})",
        ],
    }
}

/// Puts a gap in place of each `_` that stands for one.
fn with_gaps(template: &str, dice: &mut Dice) -> String {
    const GAPS: [&str; 8] =
        [" ", " ", " ", "  ", "\n", "\t", " /* as agreed */ ", " -- it is so\n"];
    // Those within names stand between letters of one case.
    let mut made = String::new();
    let bytes = template.as_bytes();
    for (at, letter) in template.char_indices() {
        let beside = |at: usize| bytes.get(at).copied().unwrap_or(b' ');
        let is_gap = letter == '_'
            && (beside(at + 1) == b'{'
                || beside(at + 1) == b'='
                || at > 0 && matches!(beside(at - 1), b'}' | b'=' | b'b' | b'(')
                || template[at + 1..].starts_with("LIKE")
                || template[at + 1..].starts_with("REPLACE")
                || template[..at].ends_with("IDENTIFIED")
                || template[..at].ends_with("ENCRYPTED")
                || template[..at].ends_with("SET"));
        if is_gap { made.push_str(dice.pick(&GAPS)) } else { made.push(letter) }
    }
    made
}

fn sql_line(number: usize, dice: &mut Dice) -> String {
    let dialect = DIALECTS[dice.roll(DIALECTS.len())];
    let place = dice.pick(sql_places(dialect));
    let mut line = with_gaps(place, dice);
    if dice.roll(3) == 0 {
        line = line.to_lowercase();
    }
    for (name, number) in [("{v}", number), ("{w}", number + 1_000_000)] {
        let special = match (dialect, dice.pick(&SPECIALS)) {
            // A shell would need it otherwise, and the quote of q'[...]' ends there.
            (Dialect::Oracle, "'" | "''") => "x",
            (_, special) => special,
        };
        let literal = sql_literal(dialect, &secret(number, special), dice);
        line = line.replace(name, &literal);
    }
    match dice.roll(6) {
        0 => format!("BEGIN; {line}; COMMIT"),
        1 if !line.contains(['$', '`']) => format!("psql -h db -c {}", shell_double(&line)),
        2 => format!("{{\"n\":1,\"query\":{},\"ok\":true}}", json(&line)),
        3 => format!("statement failed: {line}"),
        _ => line,
    }
}

fn shell_double(text: &str) -> String {
    let mut made = String::from("\"");
    for letter in text.chars() {
        if matches!(letter, '"' | '\\' | '$' | '`') {
            made.push('\\');
        }
        made.push(letter);
    }
    made + "\""
}

fn shell_single(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn shell_word(text: &str, dice: &mut Dice) -> String {
    let bare = |text: &str| {
        let mut made = String::new();
        for letter in text.chars() {
            if !letter.is_alphanumeric()
                && !matches!(letter, '-' | '_' | '.' | '/' | ',' | '%' | '@')
            {
                made.push('\\');
            }
            made.push(letter);
        }
        made
    };
    let (front, back) = halves(text);
    match dice.roll(6) {
        0 | 1 => bare(text),
        2 => shell_single(text),
        3 => shell_double(text),
        4 => format!("$'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        _ => format!("{}{}", bare(front), shell_double(back)),
    }
}

const SHELL_PLACES: [&str; 34] = [
    "mysql -u root -p{v} orders",
    "mysqldump -uroot -p{v} --all-databases",
    "mysql --user=root --password={v} orders",
    "mysqladmin -u root password {v}",
    "PGPASSWORD={v} psql -h db -U bob",
    "export API_TOKEN={v}; ./run",
    "env DB_PASSWORD={v} ./migrate --up",
    "login --password {v} --verbose",
    "vault login {v}",
    "vault kv put kv/app password={v} user=bob",
    "sshpass -p {v} ssh root@host",
    "curl -s -u bob:{v} https://example.com/x",
    "curl --user bob:{v} https://example.com/x",
    "redis-cli -h cache -a {v} ping",
    "docker login -u bob -p {v} registry.example.com",
    "sqlcmd -S host -U sa -P {v} -Q 'SELECT 1'",
    "ldapsearch -x -D cn=admin -w {v} -b dc=example",
    "mongosh --host db -u root -p {v}",
    "kubectl create secret generic db --from-literal=password={v}",
    "aws configure set aws_secret_access_key {v}",
    "keytool -list -keystore k.jks -storepass {v}",
    "zip -P {v} out.zip a.txt",
    "htpasswd -b .htpasswd bob {v}",
    "echo {v} | sudo -S reboot",
    "echo {v} | docker login --username bob --password-stdin",
    "openssl enc -aes-256-cbc -k {v} -in a -out b",
    "helm install app ./chart --set auth.password={v}",
    "sudo mysql -p{v} -e 'SELECT 1'",
    "wget --http-user=bob --http-password={v} http://example.com/",
    "az login --service-principal -u id -p {v} --tenant t",
    "mount -t cifs //s/d /mnt -o username=bob,password={v}",
    "lftp -u bob,{v} sftp://example.com",
    "smbclient //s/d -U bob%{v}",
    "gpg --batch --passphrase {v} -d f.gpg",
];

fn shell_line(number: usize, dice: &mut Dice) -> String {
    let place = dice.pick(&SHELL_PLACES);
    let special = dice.pick(&SPECIALS);
    let word = shell_word(&secret(number, special), dice);
    let line = place.replace("{v}", &word);
    match dice.roll(8) {
        0 => format!("sh -c {}", shell_single(&line)),
        1 => format!("cd /srv && {line}"),
        2 => format!("{{\"command\":{},\"exit\":0}}", json(&line)),
        3 => format!("bash -c {}", shell_double(&line)),
        4 => format!("{line} > out.txt"),
        _ => line,
    }
}

fn other_line(number: usize, dice: &mut Dice) -> String {
    // What these forms hold is escaped as they ask for.
    let special = dice.pick(&["", "", "é", ".", "_x", "+"]);
    let v = secret(number, special);
    let any = secret(number, dice.pick(&SPECIALS));
    match dice.roll(22) {
        0 => format!("postgres://bob:{v}@db:5432/orders?sslmode=require"),
        1 => format!("connect to redis://:{v}@cache:6379/0 failed"),
        2 => format!("amqp://bob:{v}/x@mq/vhost"),
        3 => format!("GET https://example.com/cb?code={v}&state=1 200"),
        4 => format!("Authorization: Bearer {v}"),
        5 => format!("curl -H 'Authorization: Basic {v}' https://example.com"),
        6 => format!("Authorization: Digest username=\"bob\", response=\"{v}\", nc=1"),
        7 => format!("Cookie: a=1; sid={v}; b={v}"),
        8 => format!("X-Api-Key: {v}"),
        9 => format!("{{\"user\":\"bob\",\"password\":{},\"n\":1}}", json(&any)),
        10 => json(&format!("{{\"token\":{},\"n\":1}}", json(&any))),
        11 => format!("{{\"name\":\"DB_PASSWORD\",\"value\":{}}}", json(&any)),
        12 => format!("Server=tcp:s,1433;User ID=bob;Password={v};Encrypt=True;"),
        13 => format!("Driver={{x}};Server=s;UID=bob;PWD={{{v};x}};Encrypt=yes"),
        14 => format!("bob:{v}@tcp(db:3306)/orders?parseTime=true"),
        15 => format!("jdbc:oracle:thin:bob/{v}@db:1521:orcl"),
        16 => format!("jdbc:mysql://db/orders?user=bob&password={v}"),
        17 => format!("-----BEGIN PRIVATE KEY-----\n{v}\n-----END PRIVATE KEY-----"),
        18 => format!("host=db user=bob password={} dbname=x", escaped('\'', &any)),
        19 => format!("password: {v}"),
        20 => format!("secret = {}", escaped('"', &any)),
        _ => format!("{{'password': {}, 'n': 1}}", escaped('\'', &any)),
    }
}

/// A line with a secret, of which both halves are marked.
pub fn with_secret(number: usize) -> String {
    let mut dice = Dice(number as u64);
    match dice.roll(5) {
        0 | 1 => sql_line(number, &mut dice),
        2 | 3 => shell_line(number, &mut dice),
        _ => other_line(number, &mut dice),
    }
}

/// A statement of SQL, or a line around one, with a secret.
pub fn sql_with_secret(number: usize) -> String {
    sql_line(number, &mut Dice(number as u64))
}

/// A command whose arguments hold a secret: the program, which stands apart or is the
/// first argument, and the arguments.
pub fn arguments(number: usize) -> (Option<String>, Vec<String>) {
    let mut dice = Dice(number as u64);
    let v = secret(number, dice.pick(&SPECIALS));
    let (program, list): (&str, Vec<String>) = match dice.roll(10) {
        0 => ("mysql", vec!["-u".into(), "root".into(), format!("-p{v}"), "db".into()]),
        1 => ("curl", vec!["-u".into(), format!("bob:{v}"), "https://example.com".into()]),
        2 => ("sshpass", vec!["-p".into(), v, "ssh".into(), "host".into()]),
        3 => ("redis-cli", vec!["-a".into(), v, "ping".into()]),
        4 => ("psql", vec!["-c".into(), format!("ALTER ROLE bob PASSWORD {}", doubled('\'', &v))]),
        5 => ("login", vec!["--password".into(), v]),
        6 => ("login", vec![format!("--api-key={v}"), "x".into()]),
        7 => ("docker", vec!["login".into(), "-p".into(), v, "reg".into()]),
        8 => ("env", vec![format!("DB_PASSWORD={v}"), "run".into()]),
        _ => ("curl", vec!["-H".into(), format!("Authorization: Bearer {v}")]),
    };
    let folder = dice.pick(&["", "/usr/bin/"]);
    if dice.roll(2) == 0 {
        return (Some(format!("{folder}{program}")), list);
    }
    let first = dice.pick(&[&[][..], &["sudo".to_owned()][..]].map(|it| it)).to_vec();
    (None, [first, vec![format!("{folder}{program}")], list].concat())
}

const WORDS: [&str; 12] = [
    "orders",
    "users",
    "invoices",
    "sessions",
    "audit_log",
    "team",
    "billing",
    "events",
    "devices",
    "nodes",
    "web",
    "reports",
];
const SECRET_COLUMNS: [&str; 12] = [
    "password_hash",
    "password",
    "token",
    "secret",
    "api_key",
    "passwd",
    "password_salt",
    "token_expires_at",
    "secret_name",
    "credential_id",
    "password_changed_at",
    "pwd",
];

/// Lines without a secret: `{t}` is a table or another word, `{c}` a column by the name
/// of a secret, `{n}` a number, `{h}` a column that is none.
const HARMLESS: [&str; 80] = [
    "SELECT {c} FROM {t} WHERE id = {n}",
    "SELECT id, {c}, created_at FROM {t} ORDER BY {c} DESC LIMIT {n}",
    "SELECT u.{c} FROM {t} u JOIN x ON x.{c} = u.{c} WHERE u.id = {n}",
    "UPDATE {t} SET {c} = $1, updated_at = now() WHERE id = {n}",
    "UPDATE {t} SET {c} = ? WHERE id = ?",
    "UPDATE {t} SET {c} = NULL WHERE id = {n}",
    "UPDATE {t} SET name = 'x{n}', {c} = DEFAULT WHERE id = {n}",
    "INSERT INTO {t} (id, {c}) VALUES ($1, $2)",
    "INSERT INTO {t} (id, {c}) SELECT id, {c} FROM old_{t}",
    "CREATE TABLE {t} (id bigint PRIMARY KEY, {c} VARCHAR(255) NOT NULL)",
    "CREATE TABLE {t}_{n} (id int, {c} text, name text DEFAULT 'none')",
    "ALTER TABLE {t} ADD COLUMN {c} varchar2(30)",
    "ALTER TABLE {t} DROP COLUMN {c}",
    "ALTER TABLE {t} RENAME COLUMN {c} TO {c}_{n}",
    "CREATE INDEX idx_{n} ON {t} ({c})",
    "SELECT count(*) FROM {t} WHERE {c} IS NOT NULL",
    "SELECT count({c}) AS n, max(id) FROM {t} GROUP BY {c}",
    "DELETE FROM {t} WHERE {c} IS NULL AND id < {n}",
    "GRANT SELECT ({c}) ON {t} TO reader{n}",
    "REVOKE ALL ON {t} FROM bob{n}",
    "ALTER USER bob{n} PASSWORD EXPIRE",
    "ALTER USER bob{n} PASSWORD EXPIRE INTERVAL 90 DAY",
    "DROP USER bob{n}",
    "CREATE ROLE {t}_reader NOLOGIN",
    "CREATE USER bob{n} IDENTIFIED EXTERNALLY",
    "SELECT key, value FROM {t} WHERE key = {n}",
    "SELECT t.secret FROM {t} t WHERE t.token = t.previous_token",
    "-- reset the password of user {n} later",
    "SELECT {n} -- the token table comes next",
    "SELECT {n} /* no secret here */ FROM {t}",
    "# tokens are rotated by job {n}",
    "cat /etc/passwd",
    "ls -l /var/run/secrets/{t}/{n}",
    "vi ~bob/.ssh/id_rsa_{n}.pub",
    "cp /srv/{t}/password_reset.html /tmp/{n}",
    "tail -n {n} /var/log/auth.log",
    "grep -rn password src/{t}",
    "git commit -m 'rename the password column of {t}'",
    "git checkout -b fix-token-refresh-{n}",
    "mkdir -p /srv/{t}/{n}",
    "ssh -p {n} bob@web{n}.example.com",
    "docker run -p {n}:80 nginx",
    "psql -h db -p {n} -U bob {t}",
    "mysql -u root -p {t}",
    "mysql -h db{n} -P 3306 {t}",
    "curl -s https://example.com/{t}/{n}",
    "kubectl get secrets -n {t}{n}",
    "kubectl describe secret {t}-tls",
    "systemctl restart keycloak-{n}",
    "passwd bob{n}",
    "login --password-file /run/secrets/{t} --verbose",
    "login --token-file=/run/token{n}",
    "login --password-stdin < /run/secrets/{t}",
    "mysql --password=\"$DB_PASSWORD\" {t}{n}",
    "PGPASSWORD=$PGPASSWORD psql {t}{n}",
    "terraform apply -var-file={t}.tfvars -parallelism={n}",
    "python manage.py changepassword bob{n}",
    "ssh-keygen -t ed25519 -f key{n}",
    "openssl x509 -in cert{n}.pem -noout",
    "the password of bob{n} was changed",
    "the token expired {n} minutes ago",
    "password must have at least {n} letters",
    "password: must not be empty ({n})",
    "invalid password for user bob{n}",
    "permission denied for table secrets ({n})",
    "access to secret {t} was denied",
    "user {n} asked for a new token",
    "the basic plan of {t} has {n} seats",
    "bearer of bad news: {n} nodes are down",
    "key {n} not found in {t}",
    "column \"{c}\" of relation \"{t}\" does not exist",
    "cat: /run/secrets/{t}: No such file or directory ({n})",
    "cookie banner of {t} shown {n} times",
    "she asked whether the token ring, {n} years old, still works",
    "session {n} ended: idle for too long",
    "bypass={n}",
    "max_tokens={n}",
    "primary_key={n}",
    "sort by key, then by name ({n})",
    "keyboard layout {n} chosen by the user of {t}",
];

/// A line without a secret.
pub fn harmless(number: usize) -> String {
    let mut dice = Dice(number as u64);
    let line = HARMLESS[number % HARMLESS.len()];
    let line =
        line.replace("{t}", dice.pick(&WORDS)).replace("{n}", &(number % 9_000 + 21).to_string());
    line.replace("{c}", dice.pick(&SECRET_COLUMNS))
}
