// A report is stored by the session, for which the token of the page is asked.
const open = XMLHttpRequest.prototype.open;
XMLHttpRequest.prototype.open = function (method, address, ...rest) {
  open.call(this, method, address, ...rest);
  const token = /(?:^|; )csrftoken=([^;]+)/.exec(document.cookie);
  if (token && method.toUpperCase() === 'POST' && new URL(address, document.baseURI).origin === window.location.origin) {
    this.setRequestHeader('X-CSRFToken', token[1]);
  }
};

// What OHIF is told at its start: this archive, and nothing else.
window.config = {
  routerBasename: '/viewer',
  showStudyList: true,
  extensions: [],
  modes: [],
  // No tour that lays itself over the first image somebody opens.
  customizationService: [{ 'ohif.tours': { $set: [] } }],
  whiteLabeling: {
    // React is handed in; the way back to the archive's own pages.
    createLogoComponentFn: React =>
      React.createElement('a', { href: '/', className: 'text-primary px-2 text-xl', title: 'To the archive' }, 'PACS'),
  },
  investigationalUseDialog: { option: 'never' }, // the README says what it is for
  maxNumberOfWebWorkers: 3,
  showWarningMessageForCrossOrigin: false, // all comes from one origin
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  // Browsers open six connections over HTTP/1.1: more requests would only stand in front of what is looked at.
  maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 12 },
  showErrorDetails: 'production',
  defaultDataSourceName: 'pacs',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'pacs',
      configuration: {
        friendlyName: 'PACS',
        name: 'pacs',
        qidoRoot: `${window.location.origin}/dicomweb`,
        wadoRoot: `${window.location.origin}/dicomweb`,
        wadoUriRoot: `${window.location.origin}/wado`,
        qidoSupportsIncludeField: true,
        supportsFuzzyMatching: false, // the search itself ignores case and accents
        supportsWildcard: true,
        supportsReject: false,
        dicomUploadEnabled: false,
        enableStudyLazyLoad: true,
        imageRendering: 'wadors', // with transfer-syntax=*: as stored, decoded here
        thumbnailRendering: 'thumbnail',
        thumbnailRequestStrategy: 'fetch',
        singlepart: 'bulkdata,video,pdf',
        omitQuotationForMultipartRequest: true,
        bulkDataURI: { enabled: true },
      },
    },
  ],
  httpErrorHandler: error => {
    // Signed out meanwhile: the page itself asks for the name and comes back here.
    if (error && error.status === 401) {
      window.location.reload();
    }
  },
};
