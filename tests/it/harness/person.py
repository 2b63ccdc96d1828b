"""A person in front of a browser: opens the page it is given, fills in the forms that come, presses the button it was told to.
Cookies, redirects and forms as a browser has them; no scripts, for the pages have none. Exits 1 with the page's text when it cannot
get further.

    person.py URL NAME PASSWORD BUTTON"""

import http.cookiejar
import sys
import urllib.error
import urllib.parse
import urllib.request
from html.parser import HTMLParser


class Forms(HTMLParser):
    def __init__(self):
        super().__init__()
        self.forms, self.form, self.text, self.button = [], None, [], None

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.form = {"action": attributes.get("action", ""), "fields": {}, "buttons": []}
            self.forms.append(self.form)
        elif self.form is not None and tag == "input" and attributes.get("name"):
            self.form["fields"][attributes["name"]] = (attributes.get("type", "text"), attributes.get("value", ""))
        elif self.form is not None and tag == "button":
            self.button = [attributes.get("name"), attributes.get("value", ""), ""]
            self.form["buttons"].append(self.button)

    def handle_endtag(self, tag):
        if tag == "form":
            self.form = None
        elif tag == "button":
            self.button = None

    def handle_data(self, data):
        self.text.append(data.strip())
        if self.button is not None:
            self.button[2] += data.strip()


def main():
    url, name, password, wanted = sys.argv[1:5]
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar)
    )

    def show(request):
        try:
            answer = opener.open(request, timeout=20)
        except urllib.error.HTTPError as error:
            answer = error
        page = Forms()
        page.feed(answer.read().decode())
        return answer.geturl(), answer.status, page

    where, status, page = show(url)
    for _ in range(5):
        buttons = [(form, button) for form in page.forms for button in form["buttons"]]
        chosen = [pair for pair in buttons if wanted.lower() in pair[1][2].lower()]
        # Without the wanted button there is one more form in between: the sign-in.
        asks = [pair for pair in buttons if any(kind == "password" for kind, _ in pair[0]["fields"].values())]
        if not (chosen or asks):
            break
        form, button = (chosen or asks)[0]
        fields = {}
        for field, (kind, value) in form["fields"].items():
            known = kind in ("hidden", "email") or value
            fields[field] = password if kind == "password" else value if known else name
        if button[0]:
            fields[button[0]] = button[1]
        where = urllib.parse.urljoin(where, form["action"])
        where, status, page = show(urllib.request.Request(where, urllib.parse.urlencode(fields).encode()))
        if chosen or status >= 400:
            print(status, " ".join(part for part in page.text if part))
            sys.exit(0 if chosen and status < 400 else 1)
    print(status, " ".join(part for part in page.text if part))
    sys.exit(1)


main()
