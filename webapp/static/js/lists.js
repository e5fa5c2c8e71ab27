// Lists: choosing rows for an action on all of them, and the filters.
function setUpBulk() {
  const bar = document.querySelector("[data-bulk-bar]");
  const all = document.querySelector("[data-bulk-all]");
  if (!bar || !all) return; // a search that found nothing has no rows to choose
  const rows = [...document.querySelectorAll("[data-bulk-row]")];
  const update = () => {
    const chosen = rows.filter((row) => row.checked).length;
    bar.hidden = chosen === 0;
    bar.querySelector("[data-bulk-count]").textContent = `${chosen} selected`;
    all.checked = chosen === rows.length && chosen > 0;
    all.indeterminate = chosen > 0 && chosen < rows.length;
  };
  all.addEventListener("change", () => {
    for (const row of rows) row.checked = all.checked;
    update();
  });
  for (const row of rows) row.addEventListener("change", update);
  update();
}

function valueField(option, value) {
  if (option.options) {
    const select = document.createElement("select");
    select.className = "form-select";
    for (const [key, label] of option.options) select.append(new Option(label, key, false, key === value));
    return select;
  }
  const input = document.createElement("input");
  input.className = "form-control";
  const kinds = { datepicker: "date", datetimepicker: "datetime-local" };
  input.type = kinds[option.type] || "text";
  input.value = value ?? "";
  return input;
}

let added = 0;

function addFilter(form, groups, name, index, value) {
  const options = groups[name];
  const row = document.getElementById("filter-row").content.firstElementChild.cloneNode(true);
  row.dataset.number = added++; // Flask-Admin wants one for each
  const choice = row.querySelector(".filter-op");
  row.querySelector(".filter-name").textContent = name;
  for (const option of options) choice.append(new Option(option.operation, option.arg));
  choice.value = (options.find((option) => option.index === index) || options[0]).arg;
  const showValue = (given) => {
    const option = options.find((candidate) => candidate.arg === choice.value);
    const field = valueField(option, given);
    field.name = `flt${row.dataset.number}_${option.arg}`;
    field.setAttribute("aria-label", name);
    row.querySelector(".filter-value").replaceChildren(field);
  };
  choice.addEventListener("change", () => showValue(""));
  row.querySelector("[data-filter-remove]").addEventListener("click", () => {
    row.remove();
    form.hidden = form.querySelector(".filter-row") === null;
    if (form.hidden && form.dataset.filterActive !== "[]") form.requestSubmit(); // else the list would stay filtered
  });
  showValue(value);
  form.querySelector("[data-filter-rows]").append(row);
  form.hidden = false;
  return row;
}

function setUpFilters() {
  const form = document.getElementById("filter-form");
  if (!form) return;
  const groups = JSON.parse(form.dataset.filterGroups);
  for (const [index, name, value] of JSON.parse(form.dataset.filterActive)) addFilter(form, groups, name, index, value);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-filter-add]");
    if (button) addFilter(form, groups, button.dataset.filterAdd, null, "").querySelector(".filter-value *").focus();
  });
}

export function setUpLists() {
  setUpBulk();
  setUpFilters();
}
