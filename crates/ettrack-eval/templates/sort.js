// A click on the head of a column sorts the rows by it, a second click in reverse order.
document.querySelectorAll('table.sortable').forEach(table => {
  const body = table.tBodies[0];
  table.querySelectorAll('thead th').forEach((head, column) => head.addEventListener('click', () => {
    const up = head.dataset.up !== 'yes';
    table.querySelectorAll('thead th').forEach(other => delete other.dataset.up);
    head.dataset.up = up ? 'yes' : 'no';
    const key = row => row.cells[column].dataset.v ?? row.cells[column].textContent;
    const compare = (a, b) => { const x = Number(key(a)), y = Number(key(b));
      return isNaN(x) || isNaN(y) ? String(key(a)).localeCompare(key(b)) : x - y; };
    [...body.rows].sort((a, b) => up ? compare(a, b) : compare(b, a)).forEach(row => body.append(row));
  }));
});
