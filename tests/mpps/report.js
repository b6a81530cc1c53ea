// What dcmjs-dimse says as a modality: tasks as JSON on standard input, an association each, all at once; statuses out.
const { Client, Dataset, constants, log, requests } = require('dcmjs-dimse');

log.setLevel('silent');
const MPPS = constants.SopClass.ModalityPerformedProcedureStep;
const [host, port, called] = process.argv.slice(2);
const tasks = JSON.parse(require('fs').readFileSync(0));

function run({ calling, uid, command, elements }) {
  return new Promise((resolve) => {
    const Request = command === 'create' ? requests.NCreateRequest : requests.NSetRequest;
    const request = new Request(MPPS, uid);
    request.setDataset(new Dataset(elements));
    const client = new Client();
    let status = 'no answer';
    request.on('response', (response) => { status = response.getStatus(); });
    client.on('networkError', (error) => resolve({ uid, status: String(error) }));
    client.on('associationRejected', () => resolve({ uid, status: 'rejected' }));
    client.on('closed', () => resolve({ uid, status }));
    client.addRequest(request);
    client.send(host, Number(port), calling, called);
  });
}

Promise.all(tasks.map(run)).then((answers) => console.log(JSON.stringify(answers)));
