// Search in long tables, and figures as files: each plot as SVG, each table as CSV.
const save = (name, type, text) => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
};
const button = (label, run) => {
  const made = document.createElement('button');
  made.textContent = label;
  made.addEventListener('click', run);
  return made;
};
const fileName = text => (text.trim() || 'figure').toLowerCase().replace(/[^a-z0-9]+/g, '-');

document.querySelectorAll('.plots .card, details .inside').forEach(place => {
  const plot = place.querySelector('svg');
  if (!plot) return;
  const name = fileName(plot.getAttribute('aria-label') || place.parentElement.querySelector('summary')?.firstChild.textContent || '');
  place.append(button('SVG', () => {
    // A separate file has no page around it, so the values of the page's style are written into it.
    const copy = plot.cloneNode(true);
    const parts = copy.querySelectorAll('*');
    plot.querySelectorAll('*').forEach((part, index) => {
      const style = getComputedStyle(part);
      ['fill', 'stroke', 'stroke-width', 'stroke-dasharray', 'font-size', 'font-weight', 'font-family', 'opacity']
        .forEach(key => parts[index].style.setProperty(key, style.getPropertyValue(key)));
    });
    copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
    copy.removeAttribute('data-csv');
    save(`${name}.svg`, 'image/svg+xml', new XMLSerializer().serializeToString(copy));
  }));
  if (plot.dataset.csv) place.append(button('CSV', () => save(`${name}.csv`, 'text/csv', plot.dataset.csv)));
});

document.querySelectorAll('table.sortable').forEach(table => {
  const bar = document.createElement('p');
  bar.className = 'tools';
  const quoted = cell => `"${cell.textContent.trim().replaceAll('"', '""')}"`;
  const title = table.tHead.rows[0].cells[0].textContent;
  bar.append(button('CSV', () => save(`${fileName(title)}.csv`, 'text/csv',
    [...table.rows].map(row => [...row.cells].map(quoted).join(',') + '\n').join(''))));
  const rows = table.tBodies[0].rows;
  if (rows.length > 20) {
    const search = document.createElement('input');
    search.type = 'search';
    search.placeholder = `search ${rows.length} rows`;
    search.addEventListener('input', () => {
      const wanted = search.value.toLowerCase();
      const fits = text => text.toLowerCase().includes(wanted);
      for (const row of rows) row.hidden = !fits(row.cells[0].textContent);
      document.querySelectorAll('main > details').forEach(one => { one.hidden = !fits(one.querySelector('summary').textContent); });
    });
    bar.append(search);
  }
  table.parentElement.before(bar);
});
