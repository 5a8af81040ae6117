// The list of voices, by language, and the controls of the chosen one.

const names = new Intl.DisplayNames(["en"], { type: "language" });

function named(tag) {
  try {
    return names.of(tag) ?? tag;
  } catch {
    return tag || "Any language";
  }
}

// Fills the list; returns what each of its values means: {offer, language}.
export function listVoices(select, offers) {
  const chosen = select.value;
  const groups = new Map();
  const meanings = new Map();
  for (const offer of offers) {
    for (const language of offer.languages.length ? offer.languages : [""]) {
      const option = document.createElement("option");
      option.value = `${offer.id} ${language}`;
      option.textContent = offer.id.replace("/", " / ");
      meanings.set(option.value, { offer, language });
      if (!groups.has(language)) groups.set(language, []);
      groups.get(language).push(option);
    }
  }
  const sorted = [...groups].sort(([a], [b]) => named(a).localeCompare(named(b)));
  select.replaceChildren(
    ...sorted.map(([language, options]) => {
      const group = document.createElement("optgroup");
      group.label = named(language);
      group.append(...options);
      return group;
    }),
  );
  if (meanings.has(chosen)) select.value = chosen;
  return meanings;
}

export function showAbout(box, { description, version, sample_rate: rate, license }) {
  const kilohertz = (rate / 1000).toLocaleString("en", { maximumFractionDigits: 2 });
  const said = document.createElement("p");
  said.textContent = description;
  const facts = document.createElement("ul");
  facts.className = "facts";
  for (const fact of [`version ${version}`, `${kilohertz} kHz`, license].filter(Boolean)) {
    const item = document.createElement("li");
    item.textContent = fact;
    facts.append(item);
  }
  box.replaceChildren(said, facts);
}

// Shows the offer's controls as sliders; a value that one of the same name had is kept where it can be.
export function showControls(fieldset, box, controls, onChange) {
  const before = readControls(box);
  box.replaceChildren(
    ...Object.entries(controls).map(([name, { default: usual, minimum, maximum, unit }]) => {
      const id = `control-${name.replace(/\W/g, "-")}`;
      const row = document.createElement("div");
      row.className = "slider";
      const label = document.createElement("label");
      label.htmlFor = id;
      label.textContent = name;
      const input = document.createElement("input");
      // A tenth of a step's power of ten: 0.05 for 0.5 to 2, 0.5 for -6 to 6.
      const step = 10 ** Math.floor(Math.log10((maximum - minimum) / 10));
      Object.assign(input, { type: "range", id, name, min: minimum, max: maximum, step: step / 2 });
      input.dataset.usual = usual;
      const kept = before[name] ?? usual;
      input.value = kept >= minimum && kept <= maximum ? kept : usual;
      const output = document.createElement("output");
      output.htmlFor.add(id);
      const reset = document.createElement("button");
      reset.type = "button";
      reset.className = "small";
      reset.textContent = "↺";
      reset.title = "Reset";
      reset.ariaLabel = `Reset ${name}`;
      const show = () => {
        output.textContent = unit === "times" ? `${input.value}×` : `${input.value} ${unit}`.trim();
        input.setAttribute("aria-valuetext", output.textContent);
        reset.classList.toggle("unused", Number(input.value) === usual);
      };
      input.oninput = () => {
        show();
        onChange();
      };
      reset.onclick = () => {
        input.value = usual;
        input.focus();
        input.oninput();
      };
      show();
      row.append(label, input, output, reset);
      return row;
    }),
  );
  fieldset.hidden = !box.childElementCount;
}

// What differs from what is usual.
export function readControls(box) {
  const set = [...box.querySelectorAll("input")].filter((input) => Number(input.value) !== Number(input.dataset.usual));
  return Object.fromEntries(set.map((input) => [input.name, Number(input.value)]));
}
