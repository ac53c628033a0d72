"""Texts that editors, page builders and feeds wrap: a reader's words are left, and what only looks like a code."""

import json

import pytest

from lib.clean.texts import clean_text

QUILL = {
    "ops": [{"insert": "Warm "}, {"attributes": {"bold": True}, "insert": "felt"}, {"insert": " hat\nDry clean\n"}]
}
QUILL["ops"].append({"insert": {"image": "https://shop.example/1.jpg"}})
DRAFT = {
    "blocks": [{"text": "Warm felt", "type": "unstyled", "inlineStyleRanges": []}, {"text": "Dry clean", "type": "x"}]
}
PROSE = {
    "type": "doc",
    "content": [
        {"type": "paragraph", "content": [{"type": "text", "text": "Warm "}, {"type": "text", "text": "felt"}]},
        {"type": "paragraph", "content": [{"type": "text", "text": "Dry clean"}]},
    ],
}
SHOPIFY = {"type": "root", "children": [{"type": "paragraph", "children": [{"type": "text", "value": "Warm felt"}]}]}
SLATE = [{"type": "paragraph", "children": [{"text": "Warm "}, {"text": "felt", "bold": True}]}]


@pytest.mark.parametrize(
    ("wrapped", "text"),
    [
        ("<![CDATA[Warm <i>felt</i> hat]]>", "Warm felt hat"),
        ("<p>Hat</p><![CDATA[of felt, 3 < 4]]> and <![CDATA[wool]]>", "Hat of felt, 3 < 4 and wool"),
        ("&lt;![CDATA[Warm &amp;amp; dry]]&gt;", "Warm & dry"),
        ("<![CDATA[never closed", "never closed"),
        ("one<br>two<br/>three</p>four", "one two three four"),
        ("4<5 cm & 7>6", "4<5 cm & 7>6"),
        ("<p>up to 4 < 5 cm</p>", "up to 4 < 5 cm"),
        ('[et_pb_section fb_built="1"][et_pb_text]Warm felt[/et_pb_text][/et_pb_section]', "Warm felt"),
        ('[caption id="attachment_7" align="left" width="300"]A hat[/caption]', "A hat"),
        ("[su_divider] Warm [su_spacer size=20/] felt", "Warm felt"),
        ("[button link=&#8221;/sale&#8221;]Buy[/button] felt", "Buy felt"),
        ("[h3]Hat[/h3] [B]warm[/B] [color=red]felt[/color]", "Hat warm felt"),
        ("Hat [new] [XL] [50% wool] [sic]", "Hat [new] [XL] [50% wool] [sic]"),
        (
            'Felt [see](https://shop.example/a_(b)) and [care](/care "How"), ![A hat](http://x/y.png)',
            "Felt see and care, A hat",
        ),
        ("size [M](medium)", "size [M](medium)"),
        ("a _very_ warm __felt__ snake_case_hat, _ and _", "a very warm felt snake_case_hat, _ and _"),
        (json.dumps(QUILL), "Warm felt hat Dry clean"),
        (json.dumps(QUILL["ops"]), "Warm felt hat Dry clean"),
        (json.dumps(QUILL).replace('"', "&quot;"), "Warm felt hat Dry clean"),
        (json.dumps(DRAFT), "Warm felt Dry clean"),
        (json.dumps(PROSE), "Warm felt Dry clean"),
        (json.dumps(SHOPIFY), "Warm felt"),
        (json.dumps(SLATE), "Warm felt"),
        ('{"ops": [{"insert": "<b>Warm</b> &amp; dry"}]}', "Warm & dry"),
        ('{"ops": [{"insert": "Warm', '{"ops": [{"insert": "Warm'),
        ('{"size": "M"}', '{"size": "M"}'),
        ('["Warm", "dry"]', '["Warm", "dry"]'),
        ("[{}]", "[{}]"),
        ("Ｗａｒｍ　ｆｅｌｔ, ﾌｪﾙﾄ", "Warm felt, フェルト"),
    ],
)
def test_wrappings_go_and_cleaning_again_changes_nothing(wrapped, text):
    assert clean_text(wrapped) == text
    assert clean_text(text) == text


@pytest.mark.parametrize("piece", ["[a_b ", "[x y=", "![", "[l](http://", "<![CDATA[", '{"ops":[', "_a", "[/"])
def test_hostile_wrappings_end(piece):
    assert isinstance(clean_text(piece * 20_000), str)
