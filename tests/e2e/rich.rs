//! Rich results: displays, libraries that draw, magics.

use base64::Engine;
use serde_json::json;

use crate::common::client::{Client, text};
use crate::common::require::Missing;
use crate::common::suite::{Stage, cases};

cases![
    objects_show_themselves,
    a_display_can_be_replaced,
    output_can_be_cleared,
    code_for_notebooks_finds_ipython,
    figures_are_pictures,
    tables_are_html,
    magics_do_what_they_do_in_notebooks,
    an_unknown_magic_is_an_error,
    a_value_too_large_to_show_is_told,
    a_broken_repr_is_told,
];

/// Whether the sandbox has a module.
async fn wants(client: &mut Client, module: &'static str) -> Result<(), Missing> {
    let code = format!("import importlib.util\nimportlib.util.find_spec('{module}') is not None");
    match client.run(&code).await.result() {
        "True" => Ok(()),
        _ => Err(Missing::new(module, "the sandbox's Python does not have it")),
    }
}

async fn objects_show_themselves(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "class Rich:\n    def __repr__(self): return 'plain'\n    def _repr_html_(self): return '<b>rich</b>'\n\
                display(Rich())\nRich()";
    let cell = client.run(code).await;
    let data = json!({"text/plain": "plain", "text/html": "<b>rich</b>"});
    assert_eq!(cell.one("display")["data"], data);
    assert_eq!(cell.one("result")["data"], data);
    let code = "class Picture:\n    def _repr_png_(self): return b'\\x89PNG\\r\\n'\nPicture()";
    let data = &client.run(code).await.one("result")["data"].clone();
    assert_eq!(text(data, "image/png").trim(), "iVBORw0K");
    let code = "class Bundle:\n    def _repr_mimebundle_(self, include=None, exclude=None):\n        \
                return {'application/json': {'a': [1, None]}, 'text/plain': 'b'}\nBundle()";
    let data = &client.run(code).await.one("result")["data"].clone();
    assert_eq!(data["application/json"], json!({"a": [1, null]}));
    client.end().await;
}

async fn a_display_can_be_replaced(stage: &Stage) {
    let mut client = stage.session().await;
    let cell = client.run("handle = display('one', display_id='bar')\nhandle.update('two');").await;
    let shown: Vec<_> = cell.all("display").collect();
    assert_eq!(shown.len(), 2, "{:#?}", cell.events);
    assert!(shown.iter().all(|event| event["display_id"] == "bar"));
    assert!(shown[0].get("update").is_none_or(|update| update == false), "{}", shown[0]);
    assert_eq!(shown[1]["update"], true);
    assert_eq!(text(&shown[1]["data"], "text/plain"), "'two'");
    // From a later cell too.
    let cell = client.run("handle.update('three')").await;
    assert_eq!(cell.one("display")["update"], true);
    client.end().await;
}

async fn output_can_be_cleared(stage: &Stage) {
    let mut client = stage.session().await;
    let code =
        "from IPython.display import clear_output\nprint('a')\nclear_output(wait=True)\nprint('b')";
    let cell = client.run(code).await;
    assert_eq!(cell.kinds()[2..5], ["stdout", "clear_output", "stdout"]);
    assert_eq!(cell.one("clear_output")["wait"], true);
    client.end().await;
}

async fn code_for_notebooks_finds_ipython(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "from IPython.display import HTML, Markdown, Image, JSON, Javascript, SVG, display\n\
                from IPython import get_ipython\ndisplay(HTML('<i>x</i>'), Markdown('**y**'))\n\
                get_ipython() is not None";
    let cell = client.run(code).await;
    let shown: Vec<_> = cell.all("display").collect();
    assert_eq!(text(&shown[0]["data"], "text/html"), "<i>x</i>");
    assert_eq!(text(&shown[1]["data"], "text/markdown"), "**y**");
    assert_eq!(cell.result(), "True");
    client.end().await;
}

async fn figures_are_pictures(stage: &Stage) -> Result<(), Missing> {
    let mut client = stage.session().await;
    wants(&mut client, "matplotlib").await?;
    let cell = client.run("import matplotlib.pyplot as plt\nplt.plot([1, 3, 2]);").await;
    cell.expect("ok", true);
    let picture = text(&cell.one("display")["data"], "image/png");
    let picture: String = picture.split_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(picture).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.len() > 2000);
    // The figure was shown and closed: the next cell begins with a fresh one.
    assert_eq!(client.run("x = 1").await.all("display").count(), 0);
    let cell = client.run("plt.bar([1], [2])\nplt.show()").await;
    assert!(cell.one("display")["data"]["image/png"].is_string());
    client.end().await;
    Ok(())
}

async fn tables_are_html(stage: &Stage) -> Result<(), Missing> {
    let mut client = stage.session().await;
    wants(&mut client, "pandas").await?;
    let code = "import pandas as pd\npd.DataFrame({'name': ['Ada', '<b>'], 'n': [1, 2]})";
    let cell = client.run(code).await;
    let data = &cell.one("result")["data"];
    assert!(text(data, "text/html").contains("<table"), "{data}");
    assert!(text(data, "text/html").contains("&lt;b&gt;"), "{data}");
    assert!(text(data, "text/plain").contains("Ada"), "{data}");
    client.end().await;
    Ok(())
}

async fn magics_do_what_they_do_in_notebooks(stage: &Stage) {
    let mut client = stage.session().await;
    let cell = client.run("!echo from the shell\nnames = !echo a; echo b\nlist(names)").await;
    assert_eq!(cell.stdout(), "from the shell\n");
    assert_eq!(cell.result(), "['a', 'b']");
    let cell = client.run("%time x = sum(range(1000))\nx").await;
    assert!(cell.stdout().contains("time"), "{}", cell.stdout());
    assert_eq!(cell.result(), "499500");
    let cell = client.run("%%time\ny = 3").await;
    cell.expect("ok", true);
    assert_eq!(client.run("y").await.result(), "3");
    let cell = client.run("%%writefile note.txt\nline {x}\n").await;
    cell.expect("ok", true);
    assert_eq!(client.run("open('note.txt').read()").await.result(), "'line {x}\\n'");
    client.run("%pip --version").await.expect("ok", true);
    assert_eq!(client.run("%pwd").await.result(), "'/work'");
    client.end().await;
}

async fn an_unknown_magic_is_an_error(stage: &Stage) {
    let mut client = stage.session().await;
    for code in ["%nosuchmagic 1", "%%nosuchmagic\nbody"] {
        let cell = client.run(code).await;
        cell.expect("error", true);
        let value = text(cell.one("error"), "value");
        assert!(value.contains("nosuchmagic"), "{value}");
    }
    client.end().await;
}

async fn a_value_too_large_to_show_is_told(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "class Huge:\n    def __repr__(self): return 'x' * (40 << 20)\nHuge()";
    let cell = client.run(code).await;
    cell.expect("ok", true);
    assert!(cell.result().len() < 2 << 20, "{}", cell.result().len());
    client.end().await;
}

async fn a_broken_repr_is_told(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "class Broken:\n    def __repr__(self): raise ValueError('no text')\nBroken()";
    let cell = client.run(code).await;
    assert_eq!(cell.done()["state_kept"], true);
    let told = format!("{:?}", cell.events);
    assert!(told.contains("no text") || told.contains("ValueError"), "{told}");
    assert_eq!(client.run("1 + 1").await.result(), "2");
    client.end().await;
}
